# `make help` lists the targets.
PYTHON ?= python3
PYTHON310 ?= python3.10
PYTEST_ARGS ?=
# The network is closed to the tests, but for this machine's loopback.
OFFLINE := --block-network --allowed-hosts='127\.0\.0\.1|localhost|::1' -n 2 --dist loadfile
TESTS := tests/unit tests/sim tests/cassette
LIVE := $(PYTHON) scripts/live.py

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

# One environment for each major of the openai SDK, made anew when what it is made of changes.
.venv/ready: pyproject.toml constraints.txt scripts/make-venv
	scripts/make-venv "$(PYTHON)" .venv constraints.txt '.[dev]'

.venv-openai2/ready: pyproject.toml constraints-openai2.txt scripts/make-venv
	scripts/make-venv "$(PYTHON)" .venv-openai2 constraints-openai2.txt '.[dev]'

.PHONY: setup
setup: .venv/ready .venv-openai2/ready ## Make both environments

.PHONY: demo
demo: .venv/ready ## Show every operation against the simulator, or against URL=http://…
	@.venv/bin/python -m vllm_connect demo $(if $(URL),--url $(URL))

.PHONY: lint
lint: .venv/ready ## Check style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

.PHONY: test
test: lint test-openai3 test-openai2 ## Lint, types and all offline tests, on both majors of the openai SDK

.PHONY: test-openai3
test-openai3: .venv/ready
	.venv/bin/python -m pytest $(TESTS) $(OFFLINE) $(PYTEST_ARGS)

.PHONY: test-openai2
test-openai2: .venv-openai2/ready
	.venv-openai2/bin/python -m pytest $(TESTS) $(OFFLINE) $(PYTEST_ARGS)

.venv-langchain/ready: integrations/langchain-vllm/pyproject.toml integrations/langchain-vllm/constraints.txt
	scripts/make-venv "$(PYTHON)" .venv-langchain integrations/langchain-vllm/constraints.txt \
		'.[sim,numpy]' --editable 'integrations/langchain-vllm[test]'

.PHONY: test-langchain
test-langchain: .venv-langchain/ready ## Run the offline tests of langchain-vllm
	cd integrations/langchain-vllm && ../../.venv-langchain/bin/python -m pytest $(OFFLINE) $(PYTEST_ARGS)

.venv-llama-index/ready: integrations/llama-index-vllm-connect/pyproject.toml \
		integrations/llama-index-vllm-connect/constraints.txt
	scripts/make-venv "$(PYTHON)" .venv-llama-index integrations/llama-index-vllm-connect/constraints.txt \
		'.[sim,numpy]' --editable 'integrations/llama-index-vllm-connect[dev]'

.PHONY: test-llama-index
test-llama-index: .venv-llama-index/ready ## Run the offline tests of llama-index-vllm-connect
	cd integrations/llama-index-vllm-connect && \
		../../.venv-llama-index/bin/python -m pytest tests --ignore tests/live -n 2 $(PYTEST_ARGS)

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
record: .venv/ready ## Record the cassettes anew from live servers
	$(LIVE) run -- .venv/bin/python scripts/record.py

.PHONY: bench
bench: .venv/ready ## Compare CPU time with the stock openai SDK
	.venv/bin/python -m benchmarks

.PHONY: format
format: .venv/ready ## Format the code
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

.PHONY: lock
lock: ## Resolve all dependencies anew and pin what was found
	$(PYTHON) scripts/lock.py "$(PYTHON310)" "$(PYTHON)"

.PHONY: clean
clean: ## Remove the environments and caches
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
