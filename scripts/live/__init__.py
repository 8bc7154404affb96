"""Real vLLM servers on this machine's CPU; `python -m scripts.live --help` says more."""
