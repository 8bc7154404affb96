"""A tool, called by the model and answered by us."""

import json

from vllm_connect import VLLM


def get_weather(city: str) -> str:
    """Get the current weather."""
    return f"18 degrees and cloudy in {city}"


tool = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": get_weather.__doc__,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
client = VLLM()
messages = [{"role": "user", "content": "What is the weather in Paris?"}]
message = client.chat.completions.create(messages=messages, tools=[tool]).choices[0].message
messages.append(message)
for call in message.tool_calls or []:
    result = get_weather(**json.loads(call.function.arguments))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(client.chat.completions.create(messages=messages, tools=[tool]).choices[0].message.content)
