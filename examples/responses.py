"""The Responses API, on any vLLM server that has chat completions."""

from vllm_connect import VLLM

client = VLLM()
first = client.responses.create(instructions="Be brief.", input="Hello, my name is Alice.")
print(first.output_text)
turns = [
    {"role": "user", "content": "Hello, my name is Alice."},
    *first.output,
    {"role": "user", "content": "What is my name?"},
]
with client.responses.stream(input=turns) as stream:
    for event in stream:
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
print()
