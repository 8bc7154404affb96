"""What the server is and serves."""

from vllm_connect import VLLM

client = VLLM()
print("version", client.server.version())
for model in client.models.list():
    print(model.id, "with a context of", model.max_model_len)
