"""What can go wrong, and how it is told apart; each class is the SDK's, too."""

import openai

from vllm_connect import VLLM, ContextLengthError, UnsupportedOperationError

client = VLLM()
try:
    client.chat.completions.create(messages=[{"role": "user", "content": "hello " * 1_000_000}])
except ContextLengthError as error:
    print("too long:", error.message)
try:
    client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Hello"}])
except openai.NotFoundError as error:
    print("not found:", error.message)
try:
    client.images.generate(prompt="a cat")
except UnsupportedOperationError as error:
    print("unsupported:", error)
