"""Leave a stream when you have seen enough: the server stops generating."""

from vllm_connect import VLLM

client = VLLM()
question = {"role": "user", "content": "Count to 9"}
with client.chat.completions.create(messages=[question], stream=True) as stream:
    text = ""
    for chunk in stream:
        text += chunk.choices[0].delta.content or "" if chunk.choices else ""
        if "3" in text:
            break
print(text)
