"""An answer as it is written, reasoning first."""

from vllm_connect import VLLM

client = VLLM()
stream = client.chat.completions.create(
    messages=[{"role": "user", "content": "Count to 5"}],
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.reasoning or choice.delta.content or "", end="", flush=True)
    if chunk.usage:
        print(f"\n{chunk.usage.completion_tokens} tokens")
