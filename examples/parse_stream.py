"""An object that grows while it is written."""

from pydantic import BaseModel

from vllm_connect import VLLM


class City(BaseModel):
    name: str
    country: str


client = VLLM()
question = {"role": "user", "content": "Paris, please."}
with client.chat.completions.stream(messages=[question], response_format=City) as stream:
    for event in stream:
        if event.type == "content.delta":
            print(event.parsed)
    print(repr(stream.get_final_completion().choices[0].message.parsed))
