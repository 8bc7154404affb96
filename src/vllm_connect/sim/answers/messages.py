"""Anthropic's `/v1/messages`, plain and streamed, and `/v1/messages/count_tokens`: chat in other words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from ..http.errors import SimError, unknown_model, validated
from ..http.options import Options
from ..http.replies import EventStream, Json, event, new_id, paced, read_json, request_id
from ..requests.chat import ChatRequest, read_chat
from .generation import Generation, Token
from .turns import Turn, prepare, take

Body = dict[str, Any]

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_KINDS = {"reasoning": "thinking", "content": "text", "name": "tool_use", "arguments": "tool_use"}


class _Message(BaseModel):
    role: Literal["user", "assistant", "system"]
    content: str | list[Body]


class _Tool(BaseModel):
    name: str
    description: str | None = None
    input_schema: Body


class _ToolChoice(BaseModel):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None


class _Thinking(BaseModel):
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = Field(default=None, ge=1024)


class _Count(BaseModel):
    model: str
    messages: list[_Message]
    system: str | list[Body] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    chat_template_kwargs: Body | None = None


class _Create(_Count):
    max_tokens: int = Field(gt=0)
    stop_sequences: list[str] | None = Field(default=None, max_length=4)
    stream: bool | None = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None


async def messages(request: Request) -> Response:
    """Answer a request for a message."""
    options: Options = request.app.state.options
    body = validated(_Create, await read_json(request))
    try:
        chat, prompt, tokens = _prepared(body, options)
        turn = take(chat, options, prompt, tokens)
    except SimError as error:
        return _refused(error)
    reply = _Reply(request_id(request, "chatcmpl"), body, turn, options)
    if body.stream:
        return EventStream(paced(reply.events(), options.delay))
    await asyncio.sleep(options.delay * turn.completion_tokens)
    return Json(reply.whole())


async def count_tokens(request: Request) -> Response:
    """Answer a request for the number of tokens."""
    options: Options = request.app.state.options
    body = validated(_Count, await read_json(request))
    try:
        _, _, tokens = _prepared(body, options)
    except SimError as error:
        return _refused(error)
    count = len(tokens)
    return Json({"input_tokens": count, "context_management": {"original_input_tokens": count}})


def _prepared(body: _Count, options: Options) -> tuple[ChatRequest, str, list[int]]:
    if body.model not in options.models:
        raise unknown_model(body.model, options.models)
    chat = read_chat(_chat(body))
    return chat, *prepare(chat, options)


def _refused(error: SimError) -> Response:
    return Json(
        {"type": "error", "error": {"type": error.type, "message": error.message}}, status_code=error.status
    )


def _chat(body: _Count) -> Body:
    """The same request as one for a chat completion."""
    turns: list[Body] = []
    if body.system:
        turns.append({"role": "system", "content": _text(body.system)})
    for message in body.messages:
        turns += _turns(message)
    chat: Body = {"model": body.model, "messages": turns}
    if body.tools:
        chat["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description or "",
                    "parameters": tool.input_schema,
                },
            }
            for tool in body.tools
        ]
        chat["tool_choice"] = _choice(body.tool_choice)
    if body.chat_template_kwargs or (body.thinking and body.thinking.type == "disabled"):
        thinks = {} if body.thinking is None else {"enable_thinking": body.thinking.type != "disabled"}
        chat["chat_template_kwargs"] = {**thinks, **(body.chat_template_kwargs or {})}
    if isinstance(body, _Create):
        sampling = body.model_dump(include={"max_tokens", "temperature", "top_k", "top_p"}, exclude_none=True)
        chat |= sampling | ({"stop": body.stop_sequences} if body.stop_sequences else {})
    return chat


def _choice(choice: _ToolChoice | None) -> Any:
    if choice is None:
        return "auto"
    if choice.type == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return {"any": "required"}.get(choice.type, choice.type)


def _turns(message: _Message) -> list[Body]:
    """The messages of a chat that one message stands for: results of tools are messages of their own."""
    if isinstance(message.content, str):
        return [{"role": message.role, "content": message.content}]
    turns: list[Body] = []
    texts, calls = [], []
    for block in message.content:
        kind = block.get("type")
        if kind == "tool_result":
            result = {"role": "tool", "tool_call_id": block.get("tool_use_id", "")}
            turns.append({**result, "content": _text(block.get("content") or "")})
        elif kind == "tool_use":
            function = {"name": block.get("name", ""), "arguments": json.dumps(block.get("input") or {})}
            calls.append({"id": block.get("id", ""), "type": "function", "function": function})
        elif kind == "text":
            texts.append(str(block.get("text", "")))
    if texts or calls:
        turn: Body = {"role": message.role, "content": "".join(texts)}
        turns.append({**turn, "tool_calls": calls} if calls else turn)
    return turns


def _text(content: str | list[Body]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in content if block.get("type") == "text")


class _Reply:
    """One message: the same turn as a whole or as events."""

    def __init__(self, id: str, request: _Create, turn: Turn, options: Options) -> None:
        self.id, self.request, self.turn, self.options = id, request, turn, options
        self.generation: Generation = turn.generations[0]

    def whole(self) -> Body:
        """The message as a whole."""
        content = [self._block(kind, tokens) for kind, tokens in self._parts()]
        return {**self._head(), "content": content, **self._ending(), "usage": self._usage()}

    def events(self) -> Iterator[bytes]:
        """The message as a stream."""
        usage = {"input_tokens": len(self.turn.prompt_tokens), "output_tokens": 0}
        begun = {**self._head(), "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        yield _event("message_start", message=begun)
        for index, (kind, tokens) in enumerate(self._parts()):
            yield _event("content_block_start", content_block=self._begun(kind, tokens), index=index)
            for delta in self._deltas(kind, tokens):
                yield _event("content_block_delta", delta=delta, index=index)
            yield _event("content_block_stop", index=index)
        yield _event("message_delta", delta={"stop_sequence": None, **self._ending()}, usage=self._usage())
        yield _event("message_stop")

    def _parts(self) -> list[tuple[str, list[Token]]]:
        """The tokens of each block."""
        told = (token for token in self.generation.tokens if token.channel in _KINDS)
        groups = groupby(told, lambda token: (_KINDS[token.channel], token.call))
        return [(kind, list(tokens)) for (kind, _), tokens in groups]

    def _block(self, kind: str, tokens: list[Token]) -> Body:
        text = "".join(token.text for token in tokens if token.channel != "name")
        if kind == "thinking":
            return {"type": kind, "thinking": text, "signature": new_id() * 2}
        if kind == "tool_use":
            return {**self._begun(kind, tokens), "input": _object(text)}
        return {"type": kind, "text": text}

    def _begun(self, kind: str, tokens: list[Token]) -> Body:
        if kind == "tool_use":
            name = self.generation.called[tokens[0].call]
            return {"type": kind, "id": f"chatcmpl-tool-{new_id()}", "name": name, "input": {}}
        return {"type": kind, kind: ""}

    def _deltas(self, kind: str, tokens: list[Token]) -> Iterator[Body]:
        names = {"thinking": ("thinking_delta", "thinking"), "text": ("text_delta", "text")}
        type, field = names.get(kind, ("input_json_delta", "partial_json"))
        for token in tokens:
            if token.channel != "name" and token.text:
                yield {"type": type, field: token.text}
        if kind == "thinking":
            yield {"type": "signature_delta", "signature": new_id() * 2}

    def _head(self) -> Body:
        return {"id": self.id, "type": "message", "role": "assistant", "model": self.options.models[0]}

    def _ending(self) -> Body:
        generation = self.generation
        if isinstance(generation.stop_reason, str):
            return {"stop_reason": "stop_sequence", "stop_sequence": generation.stop_reason}
        return {"stop_reason": _REASONS.get(generation.finish_reason or "stop", "end_turn")}

    def _usage(self) -> Body:
        cache = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
        prompt = len(self.turn.prompt_tokens)
        return {"input_tokens": prompt, "output_tokens": self.turn.completion_tokens, **cache}


def _object(text: str) -> Body:
    """Arguments as an object; vLLM fails on those that are none, with a 500."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        raise SimError(500, "Internal server error") from None
    return found if isinstance(found, dict) else {}


def _event(type: str, **fields: Any) -> bytes:
    return event({"type": type, **fields}, type)
