"""Your code on a server that breaks off, without a GPU. Needs vllm-connect[sim]."""

from vllm_connect import VLLM, IncompleteStreamError
from vllm_connect.sim import SimServer

with SimServer() as server:
    client = VLLM(server.url)
    server.fail_next("cut", after=2)
    try:
        for chunk in client.chat.completions.create(
            messages=[{"role": "user", "content": "Count to 9"}], stream=True
        ):
            print(chunk.choices[0].delta.content or "", end="")
    except IncompleteStreamError as error:
        print("\nnoticed:", error)
