"""What a model thinks, and how to have it answer at once."""

from vllm_connect import VLLM

client = VLLM()
question = {"role": "user", "content": "What is the capital of France?"}
for thinking in (True, False):
    message = (
        client.chat.completions.create(
            messages=[question], chat_template_kwargs={"enable_thinking": thinking}
        )
        .choices[0]
        .message
    )
    print(f"thinking {thinking}: {message.reasoning!r}, {message.content!r}")
