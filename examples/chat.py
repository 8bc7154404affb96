"""One question, one answer. Set VLLM_BASE_URL, e.g. to http://localhost:8000."""

from vllm_connect import VLLM

client = VLLM()
answer = client.chat.completions.create(
    messages=[{"role": "user", "content": "What is the capital of France?"}]
)
print("reasoning:", answer.choices[0].message.reasoning)
print("content:", answer.choices[0].message.content)
