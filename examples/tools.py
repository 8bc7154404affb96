"""A tool, called by the model and answered by us."""

import json

from vllm_connect import VLLM

city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
tool = {"type": "function", "function": {"name": "get_weather", "parameters": city}}
client = VLLM()
messages = [{"role": "user", "content": "What is the weather in Paris?"}]
message = client.chat.completions.create(messages=messages, tools=[tool]).choices[0].message
messages.append(message)
for call in message.tool_calls or []:
    arguments = json.loads(call.function.arguments)
    result = f"18 degrees and cloudy in {arguments['city']}"
    messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(client.chat.completions.create(messages=messages, tools=[tool]).choices[0].message.content)
