# `make help` lists the targets.
PYTHON ?= python3
PYTHON310 ?= python3.10
PYTEST_ARGS ?=
# The network is closed to the tests, but for this machine's loopback.
OFFLINE := --block-network --allowed-hosts='127\.0\.0\.1|localhost|::1' -n 2 --dist loadfile
TESTS := tests/unit tests/client tests/simulator tests/operations
LIVE := $(PYTHON) -m scripts.live
LOCK := $(PYTHON) scripts/lock.py "$(PYTHON310)" "$(PYTHON)"

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-18s %s\n' "$$name" "$$text"; done

# The environments: folder, pins, and what is installed there. Each is made anew when one of its files changes.
# The core has one for each major of the openai SDK; langchain-vllm one for the newest langchain-core and one for
# the lowest it declares, with the older SDK; llama-index-vllm-connect one with llama-index-core alone, and one
# beside the llama-index package, which keeps the older SDK.
LANGCHAIN := integrations/langchain-vllm
LLAMA_INDEX := integrations/llama-index-vllm-connect
OPENAI3 := .venv constraints.txt '.[dev]'
OPENAI2 := .venv-openai2 constraints-openai2.txt '.[dev]' 'openai<3'
LANGCHAIN_NEWEST := .venv-langchain $(LANGCHAIN)/constraints.txt \
	'.[sim,numpy]' --editable './$(LANGCHAIN)[test,bench]'
LANGCHAIN_LOWEST := .venv-langchain-lowest $(LANGCHAIN)/constraints-lowest.txt \
	'.[sim,numpy]' --editable './$(LANGCHAIN)[test]' 'langchain-core==1.6.0' 'openai<3'
LLAMA_INDEX_CORE := .venv-llama-index $(LLAMA_INDEX)/constraints.txt \
	'.[sim,numpy]' --editable './$(LLAMA_INDEX)[dev]'
LLAMA_INDEX_META := .venv-llama-index-meta $(LLAMA_INDEX)/constraints-meta.txt \
	'.[sim,numpy]' --editable './$(LLAMA_INDEX)[dev,bench]' 'llama-index>=0.14'

.venv/ready: pyproject.toml constraints.txt scripts/make-venv
	scripts/make-venv "$(PYTHON)" $(OPENAI3)

.venv-openai2/ready: pyproject.toml constraints-openai2.txt scripts/make-venv
	scripts/make-venv "$(PYTHON)" $(OPENAI2)

.venv-langchain/ready: pyproject.toml $(addprefix $(LANGCHAIN)/,pyproject.toml constraints.txt) scripts/make-venv
	scripts/make-venv "$(PYTHON)" $(LANGCHAIN_NEWEST)

.venv-langchain-lowest/ready: pyproject.toml $(addprefix $(LANGCHAIN)/,pyproject.toml constraints-lowest.txt) \
		scripts/make-venv
	scripts/make-venv "$(PYTHON)" $(LANGCHAIN_LOWEST)

.venv-llama-index/ready: pyproject.toml $(addprefix $(LLAMA_INDEX)/,pyproject.toml constraints.txt) scripts/make-venv
	scripts/make-venv "$(PYTHON)" $(LLAMA_INDEX_CORE)

.venv-llama-index-meta/ready: pyproject.toml $(addprefix $(LLAMA_INDEX)/,pyproject.toml constraints-meta.txt) \
		scripts/make-venv
	scripts/make-venv "$(PYTHON)" $(LLAMA_INDEX_META)

ALL := $(addsuffix /ready,.venv .venv-openai2 .venv-langchain .venv-langchain-lowest \
	.venv-llama-index .venv-llama-index-meta)

.PHONY: setup
setup: $(ALL) ## Make all environments

.PHONY: demo
demo: .venv/ready ## Show every operation against the simulator, or against URL=http://…
	@.venv/bin/python -m vllm_connect demo $(if $(URL),--url $(URL))

.PHONY: lint
lint: .venv/ready ## Check style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

.PHONY: test
test: lint test-core test-langchain test-llama-index ## Lint, types and all offline tests, of all three packages

.PHONY: test-core
test-core: test-openai3 test-openai2 ## The offline tests of vllm-connect, on both majors of the openai SDK

.PHONY: test-openai3
test-openai3: .venv/ready
	.venv/bin/python -m pytest $(TESTS) $(OFFLINE) $(PYTEST_ARGS)

.PHONY: test-openai2
test-openai2: .venv-openai2/ready
	.venv-openai2/bin/python -m pytest $(TESTS) $(OFFLINE) $(PYTEST_ARGS)

.PHONY: test-langchain
test-langchain: .venv-langchain/ready .venv-langchain-lowest/ready ## langchain-vllm: types and offline tests, on the newest and the lowest langchain-core
	cd $(LANGCHAIN) && ../../.venv-langchain/bin/mypy
	cd $(LANGCHAIN) && ../../.venv-langchain/bin/python -m pytest $(OFFLINE) --ignore tests/live_tests $(PYTEST_ARGS)
	cd $(LANGCHAIN) && ../../.venv-langchain-lowest/bin/python -m pytest $(OFFLINE) --ignore tests/live_tests $(PYTEST_ARGS)

.PHONY: test-llama-index
test-llama-index: .venv-llama-index/ready .venv-llama-index-meta/ready ## llama-index-vllm-connect: types and offline tests, with llama-index-core alone and beside llama-index
	cd $(LLAMA_INDEX) && ../../.venv-llama-index/bin/mypy
	cd $(LLAMA_INDEX) && ../../.venv-llama-index/bin/python tests/smoke.py
	cd $(LLAMA_INDEX) && ../../.venv-llama-index-meta/bin/python tests/smoke.py
	cd $(LLAMA_INDEX) && ../../.venv-llama-index/bin/python -m pytest $(OFFLINE) --ignore tests/live $(PYTEST_ARGS)
	cd $(LLAMA_INDEX) && ../../.venv-llama-index-meta/bin/python -m pytest $(OFFLINE) --ignore tests/live $(PYTEST_ARGS)

.PHONY: live
live: setup ## Start real vLLM servers on the CPU, run the live tests, stop the servers
	$(LIVE) run -- scripts/live-tests $(PYTEST_ARGS)

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
bench: .venv/ready ## Compare CPU time with the stock openai SDK
	.venv/bin/python -m benchmarks

.PHONY: bench-langchain
bench-langchain: .venv-langchain/ready ## Compare CPU time with langchain-openai
	.venv-langchain/bin/python -m benchmarks.langchain

.PHONY: bench-llama-index
bench-llama-index: .venv-llama-index-meta/ready ## Compare CPU time with LlamaIndex's OpenAILike
	.venv-llama-index-meta/bin/python -m benchmarks.llama_index

# The third-party tools of `make neighbours`, in environments of their own: what each wants in *.in, the pins in
# *.txt, for Python 3.11 and newer.
NEIGHBOURS := $(basename $(notdir $(wildcard neighbours/environments/*.in)))
NEIGHBOUR_PINS := $(NEIGHBOURS:%=neighbours/environments/%.txt)

.venv-neighbours-%/ready: neighbours/environments/%.in neighbours/environments/%.txt pyproject.toml scripts/make-venv
	scripts/make-venv "$(PYTHON)" .venv-neighbours-$* neighbours/environments/$*.txt '.[sim,numpy]' -r $<

.PHONY: neighbours
neighbours: .venv/ready $(NEIGHBOURS:%=.venv-neighbours-%/ready) ## Third-party tools on the stock client and on ours, side by side
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
	$(LOCK) $(OPENAI3)
	$(LOCK) $(OPENAI2)
	$(LOCK) $(LANGCHAIN_NEWEST)
	$(LOCK) $(LANGCHAIN_LOWEST)
	$(LOCK) $(LLAMA_INDEX_CORE)
	$(LOCK) $(LLAMA_INDEX_META)

.PHONY: clean
clean: ## Remove the environments and caches
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
