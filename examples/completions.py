"""Two texts continued in one request, without a chat template."""

from vllm_connect import VLLM

client = VLLM()
completion = client.completions.create(prompt=["Once upon a time", "In the beginning"], max_tokens=8)
for choice in completion.choices:
    print(choice.index, repr(choice.text))
