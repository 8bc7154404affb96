"""The tokens of a conversation, counted by the server with the model's own chat template."""

from vllm_connect import VLLM

client = VLLM()
tokens = client.tokenize(messages=[{"role": "user", "content": "What is the capital of France?"}])
print(tokens.count, "of", tokens.max_model_len)
print(client.detokenize(tokens=tokens.tokens).prompt)
