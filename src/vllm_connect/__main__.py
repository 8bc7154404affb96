"""`python -m vllm_connect`, the same as `vllm-connect`."""

from .cli import main

main()
