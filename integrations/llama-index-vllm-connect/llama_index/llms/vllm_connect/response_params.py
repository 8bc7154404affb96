"""A request for a chat, as the Responses API has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index_vllm_connect.content import Json

_LOGPROBS = "message.output_text.logprobs"


def response_params(params: Mapping[str, Any]) -> Json:
    """The parameters of `responses.create` for those of a chat completion.

    What has the same name in both, and vLLM's own, stays as it is, and so do those that only
    `responses.create` has.

    Raises:
        ValueError: a tool that is no function.
    """
    response = dict(params)
    response["input"] = input_items(response.pop("messages"))
    response.pop("stream_options", None)  # usage comes with the last event anyway
    if (most := response.pop("max_tokens", None)) is not None:
        response.setdefault("max_output_tokens", most)
    if (effort := response.pop("reasoning_effort", None)) is not None:
        response["reasoning"] = {**(response.get("reasoning") or {}), "effort": effort}
    if (format_ := response.pop("response_format", None)) is not None:
        response["text"] = {**(response.get("text") or {}), "format": _text_format(format_)}
    if response.pop("logprobs", None):
        response["include"] = [*(response.get("include") or ()), _LOGPROBS]
    if tools := response.pop("tools", None):
        response["tools"] = [_flat_tool(tool) for tool in tools]
        if (choice := response.get("tool_choice")) is not None:
            response["tool_choice"] = _flat_choice(choice)
    else:
        response.pop("tool_choice", None)
    return response


def input_items(messages: Sequence[Mapping[str, Any]]) -> list[Json]:
    """The messages of a chat as items; names of messages have no place in them."""
    items: list[Json] = []
    for message in messages:
        role, content = message["role"], message.get("content")
        if role == "tool":
            result = {"call_id": message["tool_call_id"], "output": _content(content, "input_text")}
            items.append({"type": "function_call_output", **result})
        elif role == "assistant":
            items += _assistant_items(message, len(items))
        else:
            items.append({"type": "message", "role": role, "content": _content(content, "input_text")})
    return items


def _assistant_items(message: Mapping[str, Any], number: int) -> list[Json]:
    """The items of an assistant's message; vLLM wants ids, and makes nothing of them."""
    items: list[Json] = []
    if reasoning := message.get("reasoning") or message.get("reasoning_content"):
        thought = [{"type": "reasoning_text", "text": reasoning}]
        items.append({"type": "reasoning", "id": f"rs_{number}", "summary": [], "content": thought})
    calls = message.get("tool_calls") or ()
    content = message.get("content")
    if content or not calls:
        parts: list[Json] = (
            content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
        )
        items.append(
            {
                "type": "message",
                "id": f"msg_{number}",
                "role": "assistant",
                "status": "completed",
                "content": _content(parts, "output_text"),
            }
        )
    for place, call in enumerate(calls):
        function = call["function"]
        named = {"id": f"fc_{number}_{place}", "call_id": call["id"], "name": function["name"]}
        items.append({"type": "function_call", **named, "arguments": function["arguments"]})
    return items


def _content(content: str | list[Json] | None, text_type: str) -> str | list[Json]:
    if not isinstance(content, list):
        return content or ""
    return [_part(part, text_type) for part in content]


def _part(part: Json, text_type: str) -> Json:
    if part["type"] == "text":
        annotations: Json = {"annotations": []} if text_type == "output_text" else {}
        return {"type": text_type, "text": part["text"], **annotations}
    if part["type"] == "image_url":
        image = part["image_url"]
        return {
            "type": "input_image",
            "image_url": image["url"],
            "detail": image.get("detail") or "auto",
        }
    return part


def _text_format(response_format: Mapping[str, Any]) -> Json:
    """A `response_format`, whose schema lies one level deeper."""
    return {"type": response_format["type"], **(response_format.get("json_schema") or {})}


def _flat_tool(tool: Mapping[str, Any]) -> Json:
    if tool.get("type") != "function":
        raise ValueError(
            f"a tool of type {tool.get('type')!r} is none of yours: this class takes functions. What a vLLM "
            "server runs itself (--tool-server) is there in client.responses.create"
        )
    return {"type": "function", **(tool.get("function") or tool)}


def _flat_choice(choice: Any) -> Any:
    if isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        return {"type": "function", "name": choice["function"]["name"]}
    return choice
