"""CPU time and memory of `VLLM` beside the stock openai SDK: `make bench`, or `python -m benchmarks -h`."""
