"""How sure the model is of each word."""

import math

from vllm_connect import VLLM

client = VLLM()
question = {"role": "user", "content": "Say: yes"}
answer = client.chat.completions.create(messages=[question], logprobs=True, top_logprobs=2)
for token in answer.choices[0].logprobs.content:
    print(repr(token.token), f"{math.exp(token.logprob):.2f}")
