"""What can go wrong, and how it is told apart."""

import openai

from vllm_connect import VLLM, ContextLengthError, IncompleteStreamError, UnsupportedOperationError

client = VLLM()
try:
    client.chat.completions.create(messages=[{"role": "user", "content": "hello " * 1_000_000}])
except ContextLengthError as error:
    print("too long:", error.message)

try:
    client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Hello"}])
except openai.NotFoundError as error:  # the SDK's own class; ours is a subclass of it
    print("not found:", error.message)

try:
    for _ in client.chat.completions.create(
        messages=[{"role": "user", "content": "Count to 9"}], stream=True
    ):
        pass
except IncompleteStreamError as error:
    print("the server died:", error)

try:
    client.images.generate(prompt="a cat")
except UnsupportedOperationError as error:
    print("unsupported:", error)
