# `make help` lists the targets.
PYTHON ?= python3
# The lowest versions are tried on the oldest Python that is here.
OLDEST ?= $(firstword $(foreach each,python3.10 python3.11 $(PYTHON),$(shell $(each) -c 'print("$(each)")' 2>/dev/null)))
PYTEST_ARGS ?=
# The network is closed to the tests, but for this machine's loopback and Unix sockets.
OFFLINE := --block-network --allowed-hosts='127\.0\.0\.\d+|localhost|::1|/.*' -n 2 --dist loadfile
TESTS := tests/unit tests/client tests/simulator tests/operations tests/serve
LIVE := $(PYTHON) -m scripts.live
LOCK := $(PYTHON) scripts/lock.py

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-18s %s\n' "$$name" "$$text"; done

# The environments: folder, pins, and what is installed there. Each is made anew when one of its files changes.
# A package has one with the newest of everything, and one with the lowest that it declares, which brings the older
# major of the openai SDK; llama-index-vllm-connect's second one is beside the llama-index package, which keeps that.
# The distributions that one version is released of.
PACKAGES := . integrations/langchain-vllm integrations/litellm-vllm-connect integrations/llama-index-vllm-connect

LANGCHAIN := integrations/langchain-vllm
LLAMA_INDEX := integrations/llama-index-vllm-connect
LITELLM := integrations/litellm-vllm-connect
CORE_NEWEST := .venv constraints.txt '.[dev]' anthropic playwright axe-playwright-python
CORE_LOWEST := .venv-lowest constraints-lowest.txt '.[sim,cli,numpy,serve,dev]'
LANGCHAIN_NEWEST := .venv-langchain $(LANGCHAIN)/constraints.txt '.[sim,numpy]' './$(LANGCHAIN)[test,bench]'
LANGCHAIN_LOWEST := .venv-langchain-lowest $(LANGCHAIN)/constraints-lowest.txt \
	'openai<3' '.[sim,numpy]' './$(LANGCHAIN)[test]'
LLAMA_INDEX_NEWEST := .venv-llama-index $(LLAMA_INDEX)/constraints.txt '.[sim,numpy]' './$(LLAMA_INDEX)[dev]'
LLAMA_INDEX_META := .venv-llama-index-meta $(LLAMA_INDEX)/constraints-meta.txt \
	'.[sim,numpy]' './$(LLAMA_INDEX)[dev,bench]' 'llama-index>=0.14'
LITELLM_NEWEST := .venv-litellm $(LITELLM)/constraints.txt '.[sim]' './$(LITELLM)[test]'
LITELLM_LOWEST := .venv-litellm-lowest $(LITELLM)/constraints-lowest.txt 'openai<3' '.[sim]' './$(LITELLM)[test]'

RELEASE := .venv-release constraints-release.txt '.[sim,release]'
DOCS := .venv-docs constraints-docs.txt '.[sim,docs]'

SETUP := pyproject.toml src/vllm_connect/_version.py scripts/make-venv scripts/uv

.venv/ready: constraints.txt $(SETUP)
	scripts/make-venv "$(PYTHON)" $(CORE_NEWEST)

.venv-lowest/ready: constraints-lowest.txt $(SETUP)
	scripts/make-venv "$(OLDEST)" $(CORE_LOWEST)

.venv-langchain/ready: $(addprefix $(LANGCHAIN)/,pyproject.toml constraints.txt) $(SETUP)
	scripts/make-venv "$(PYTHON)" $(LANGCHAIN_NEWEST)

.venv-langchain-lowest/ready: $(addprefix $(LANGCHAIN)/,pyproject.toml constraints-lowest.txt) $(SETUP)
	scripts/make-venv "$(OLDEST)" $(LANGCHAIN_LOWEST)

.venv-llama-index/ready: $(addprefix $(LLAMA_INDEX)/,pyproject.toml constraints.txt) $(SETUP)
	scripts/make-venv "$(PYTHON)" $(LLAMA_INDEX_NEWEST)

.venv-llama-index-meta/ready: $(addprefix $(LLAMA_INDEX)/,pyproject.toml constraints-meta.txt) $(SETUP)
	scripts/make-venv "$(PYTHON)" $(LLAMA_INDEX_META)

.venv-litellm/ready: $(addprefix $(LITELLM)/,pyproject.toml constraints.txt) $(SETUP)
	scripts/make-venv "$(PYTHON)" $(LITELLM_NEWEST)

.venv-litellm-lowest/ready: $(addprefix $(LITELLM)/,pyproject.toml constraints-lowest.txt) $(SETUP)
	scripts/make-venv "$(OLDEST)" $(LITELLM_LOWEST)

.venv-release/ready: constraints-release.txt $(SETUP)
	scripts/make-venv "$(PYTHON)" $(RELEASE)

.venv-docs/ready: constraints-docs.txt $(SETUP)
	scripts/make-venv "$(PYTHON)" $(DOCS)

NEWEST := .venv/ready .venv-langchain/ready .venv-llama-index/ready .venv-litellm/ready
LOWEST := .venv-lowest/ready .venv-langchain-lowest/ready .venv-llama-index-meta/ready \
	.venv-litellm-lowest/ready

.PHONY: setup
setup: $(NEWEST) $(LOWEST) ## Make all environments

.PHONY: walk
walk: .venv/ready ## Count how often a call changes from one file to another
	@.venv/bin/python -m scripts.walk

.PHONY: demo
demo: .venv/ready ## Show every operation against the simulator, or against URL=http://…
	@.venv/bin/python -m vllm_connect demo $(if $(URL),--url $(URL))

.PHONY: lint
lint: .venv/ready ## Check style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# One suite in one environment: $(call suite,FOLDER,ENVIRONMENT,TESTS). Low versions warn of what is newer than they are.
AGED := -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning
suite = cd $(1) && $(CURDIR)/$(2)/bin/python -m pytest $(3) $(OFFLINE) $(PYTEST_ARGS)

# Three targets at a time: suites wait a good deal, and types take one core. The output of each stays together, where
# make can do that.
TOGETHER := $(MAKE) $(if $(filter output-sync,$(.FEATURES)),--jobs=3 --output-sync=target)

.PHONY: test
test: .venv/ready ## Lint, types and all offline tests of all packages, on the newest versions
	$(TOGETHER) test-core test-langchain test-llama-index test-litellm

.PHONY: test-all
test-all: test test-lowest ## … and on the older major of the openai SDK and the lowest versions

.PHONY: test-core
test-core: lint suite-core ## Lint, types and offline tests of vllm-connect

JAVASCRIPT := tests/serve/javascript

$(JAVASCRIPT)/node_modules/ready: $(JAVASCRIPT)/package.json $(JAVASCRIPT)/package-lock.json
	cd $(JAVASCRIPT) && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

.PHONY: test-javascript
test-javascript: export JAVASCRIPT_REQUIRED = 1
test-javascript: .venv/ready $(JAVASCRIPT)/node_modules/ready ## JavaScript's clients on the gateway (needs Node.js 20)
	$(call suite,.,.venv,tests/serve/test_javascript.py)

.PHONY: test-langchain
test-langchain: types-langchain suite-langchain ## Types and offline tests of langchain-vllm

.PHONY: test-llama-index
test-llama-index: types-llama-index suite-llama-index ## Types and offline tests of llama-index-vllm-connect

.PHONY: test-litellm
test-litellm: types-litellm suite-litellm ## Types and offline tests of litellm-vllm-connect

.PHONY: types-langchain
types-langchain: .venv-langchain/ready
	cd $(LANGCHAIN) && ../../.venv-langchain/bin/mypy

.PHONY: types-llama-index
types-llama-index: .venv-llama-index/ready
	cd $(LLAMA_INDEX) && ../../.venv-llama-index/bin/mypy

.PHONY: types-litellm
types-litellm: .venv-litellm/ready
	cd $(LITELLM) && ../../.venv-litellm/bin/mypy

.PHONY: suite-core
suite-core: .venv/ready
	$(call suite,.,.venv,$(TESTS))

.PHONY: suite-langchain
suite-langchain: .venv-langchain/ready
	$(call suite,$(LANGCHAIN),.venv-langchain,--ignore tests/live_tests)

.PHONY: suite-llama-index
suite-llama-index: .venv-llama-index/ready # with llama-index-core alone
	$(call suite,$(LLAMA_INDEX),.venv-llama-index,--ignore tests/live)

.PHONY: suite-litellm
suite-litellm: .venv-litellm/ready
	$(call suite,$(LITELLM),.venv-litellm,--ignore tests/live)

.PHONY: test-lowest
test-lowest: .venv/ready ## The offline tests on the lowest versions, and beside llama-index
	$(TOGETHER) test-core-lowest test-langchain-lowest test-llama-index-meta test-litellm-lowest

.PHONY: test-core-lowest
test-core-lowest: .venv-lowest/ready
	# Tests of the gateway's page skip themselves: what drives the browser is in the newest environment alone.
	$(call suite,.,.venv-lowest,$(TESTS) $(AGED))

.PHONY: test-langchain-lowest
test-langchain-lowest: .venv-langchain-lowest/ready
	$(call suite,$(LANGCHAIN),.venv-langchain-lowest,--ignore tests/live_tests $(AGED))

.PHONY: test-llama-index-meta
test-llama-index-meta: .venv-llama-index-meta/ready
	$(call suite,$(LLAMA_INDEX),.venv-llama-index-meta,--ignore tests/live)

.PHONY: test-litellm-lowest
test-litellm-lowest: .venv-litellm-lowest/ready
	$(call suite,$(LITELLM),.venv-litellm-lowest,--ignore tests/live $(AGED))

.venv-ray/ready: $(addprefix tests/ray_data/environment.,in txt) $(SETUP)
	scripts/make-venv "$(PYTHON)" .venv-ray tests/ray_data/environment.txt '.[sim,ray]' -r tests/ray_data/environment.in

.PHONY: test-ray
test-ray: .venv-ray/ready ## Run `vllm_connect.ray` in the actors of a local Ray
	# Warnings are no errors here: Ray leaves processes and files to the end of the process.
	.venv-ray/bin/python -m pytest --confcutdir tests/ray_data -W default tests/ray_data $(PYTEST_ARGS)

.PHONY: live
live: setup ## Start real vLLM servers on the CPU, run the live tests, stop the servers; VLLM=0.28.0 for another release
	$(LIVE) run -- scripts/live-tests $(PYTEST_ARGS)

.PHONY: versions
versions: .venv/ready ## Try every operation on several releases of vLLM, write the table of docs/versions.md
	.venv/bin/python -m scripts.versions run $(VLLM)

.venv-router/ready: tests/live_servers/router.txt scripts/make-venv
	scripts/make-venv "$(PYTHON)" .venv-router $< vllm-router

.PHONY: live-servers
live-servers: .venv/ready .venv-router/ready ## Kill one of two live servers, converse with both, put vllm-router before them, follow a trace
	VLLM_LIVE_REQUIRED=1 $(LIVE) run $(addprefix --only=,chat twin traced embed rerank) -- \
		.venv/bin/python -m pytest tests/live_servers $(PYTEST_ARGS)

.PHONY: live-up
live-up: ## Start the live servers and leave them running
	$(LIVE) up

.PHONY: live-down
live-down: ## Stop the live servers
	$(LIVE) down

.PHONY: record
record: .venv/ready .venv-langchain/ready ## Record the cassettes anew from live servers
	$(LIVE) run -- .venv/bin/python scripts/record.py

.PHONY: bench
bench: .venv/ready ## Compare CPU time with the stock openai SDK; writes docs/performance.md and its picture
	.venv/bin/python -m benchmarks --write

.PHONY: bench-bulk
bench-bulk: .venv/ready ## Measure `map` and `batch`: CPU a row, throughput on two live servers, a kill and a resume; writes docs/bulk.md
	.venv/bin/python -m benchmarks.bulk.gather --write
	$(LIVE) run --only=chat --only=twin -- sh -ec \
		'.venv/bin/python -m benchmarks.bulk.throughput --write; .venv/bin/python -m benchmarks.bulk.resume --write'

.PHONY: bench-memory
bench-memory: .venv/ready ## Send a million rows through `map` and look at its memory (a quarter of an hour); writes docs/bulk.md
	.venv/bin/python -m benchmarks.bulk.memory --write

.PHONY: bench-ray
bench-ray: .venv-ray/ready ## Compare `vllm_connect.ray` with Ray's own HTTP processor; writes docs/bulk.md
	.venv-ray/bin/python -m benchmarks.bulk.ray_data --write

.PHONY: bench-langchain
bench-langchain: .venv-langchain/ready ## Compare CPU time with langchain-openai
	.venv-langchain/bin/python -m benchmarks.langchain

.PHONY: bench-llama-index
bench-llama-index: .venv-llama-index-meta/ready ## Compare CPU time with LlamaIndex's OpenAILike
	.venv-llama-index-meta/bin/python -m benchmarks.llama_index

.venv-several-servers/ready: $(addprefix benchmarks/environments/several_servers.,in txt) pyproject.toml scripts/make-venv
	scripts/make-venv "$(PYTHON)" .venv-several-servers benchmarks/environments/several_servers.txt '.[sim]' -r $<

.PHONY: bench-servers
bench-servers: .venv-several-servers/ready ## Compare several servers that fail with LiteLLM's Router
	.venv-several-servers/bin/python -m benchmarks.several_servers
.PHONY: screenshots
screenshots: .venv/ready ## Make the pictures of the documentation anew (needs Chromium)
	SCREENSHOTS=docs/images .venv/bin/python -m pytest -q tests/serve/test_page.py

.PHONY: bench-serve
bench-serve: .venv/ready .venv-litellm/ready ## Compare the gateway with the server itself and with LiteLLM's proxy
	.venv/bin/python -m benchmarks.gateways

# The third-party tools of `make neighbours`, in environments of their own: what each wants in *.in, the pins in
# *.txt, for Python 3.11 and newer.
NEIGHBOURS := $(basename $(notdir $(wildcard neighbours/environments/*.in)))
NEIGHBOUR_PINS := $(NEIGHBOURS:%=neighbours/environments/%.txt)

.venv-neighbours-%/ready: neighbours/environments/%.in neighbours/environments/%.txt pyproject.toml scripts/make-venv
	scripts/make-venv "$(PYTHON)" .venv-neighbours-$* neighbours/environments/$*.txt '.[sim,numpy]' -r $<

.PHONY: neighbours
neighbours: .venv/ready $(NEIGHBOURS:%=.venv-neighbours-%/ready) test-ray ## Third-party tools on the stock client and on ours, side by side
	.venv/bin/python -m neighbours

.PHONY: neighbours-quick
neighbours-quick: .venv/ready .venv-neighbours-agents/ready ## The same with the few that find most
	.venv/bin/python -m neighbours --quick

.PHONY: neighbours-lock
neighbours-lock: $(NEIGHBOUR_PINS:%=%.lock) ## Pin the newest releases of the third-party tools (needs uv)

.PHONY: $(NEIGHBOUR_PINS:%=%.lock)
$(NEIGHBOUR_PINS:%=%.lock): neighbours/environments/%.txt.lock:
	uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		neighbours/environments/$*.in pyproject.toml --extra sim --extra numpy -o neighbours/environments/$*.txt

.PHONY: format
format: .venv/ready ## Format the code
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

.PHONY: lock
lock: ## Resolve all dependencies anew and pin what was found
	$(LOCK) $(CORE_NEWEST)
	$(LOCK) --lowest $(CORE_LOWEST)
	$(LOCK) $(LANGCHAIN_NEWEST)
	$(LOCK) --lowest $(LANGCHAIN_LOWEST)
	$(LOCK) $(LLAMA_INDEX_NEWEST)
	$(LOCK) $(LLAMA_INDEX_META)
	$(LOCK) $(LITELLM_NEWEST)
	$(LOCK) --lowest $(LITELLM_LOWEST)
	$(LOCK) $(RELEASE)
	$(LOCK) $(DOCS)
	uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		benchmarks/environments/several_servers.in pyproject.toml --extra sim \
		-o benchmarks/environments/several_servers.txt
	uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		tests/ray_data/environment.in pyproject.toml --extra sim --extra numpy -o tests/ray_data/environment.txt

.PHONY: release
release: .venv-release/ready ## Build all distributions into dist/, and try out each in an empty environment
	.venv-release/bin/python scripts/release.py $(PACKAGES)

.PHONY: docs
docs: .venv-docs/ready ## Build the documentation into site/; a broken link or name is an error
	.venv-docs/bin/zensical build --clean --strict

.PHONY: clean
clean: ## Remove the environments and caches
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .hypothesis dist site .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
