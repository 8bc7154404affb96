"""An answer as an object of a class: the server holds the model to its schema."""

from pydantic import BaseModel

from vllm_connect import VLLM


class City(BaseModel):
    name: str
    country: str


client = VLLM()
answer = client.chat.completions.parse(
    messages=[{"role": "user", "content": "Paris, please."}],
    response_format=City,
    chat_template_kwargs={"enable_thinking": False},  # else the constraint begins after the reasoning
)
print(repr(answer.choices[0].message.parsed))
