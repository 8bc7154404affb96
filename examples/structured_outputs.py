"""Answers in a form: a choice, a regex, a class."""

from pydantic import BaseModel

from vllm_connect import VLLM


class City(BaseModel):
    name: str
    country: str


client = VLLM()
question = {"role": "user", "content": "Paris, please."}
# With a reasoning parser the constraint begins after the reasoning, which a short answer does not need.
quiet = {"chat_template_kwargs": {"enable_thinking": False}}

choice = client.chat.completions.create(
    messages=[question], structured_outputs={"choice": ["yes", "no"]}, **quiet
)
print(choice.choices[0].message.content)
code = client.chat.completions.create(messages=[question], structured_outputs={"regex": "[A-Z]{3}"}, **quiet)
print(code.choices[0].message.content)
city = client.chat.completions.parse(messages=[question], response_format=City, **quiet)
print(repr(city.choices[0].message.parsed))
