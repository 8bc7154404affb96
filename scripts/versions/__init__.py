"""Which operations work on which release of vLLM; `python -m scripts.versions --help` says more."""
