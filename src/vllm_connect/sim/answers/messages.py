"""Anthropic's `/v1/messages`, plain and streamed, and `/v1/messages/count_tokens`: chat in other words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of, served
from ..http.errors import LateError, SimError, error_body, refused
from ..http.options import Options
from ..http.replies import EventStream, Json, event, new_id, paced, read_json, request_id
from ..requests.anthropic import CountRequest, MessageRequest, as_chat, read_count, read_message
from ..requests.chat import ChatRequest, NamedTool
from ..requests.sampling import check_cache_salt
from . import chat
from .generation import Generation, Token
from .turns import Turn, prepare, take

Body = dict[str, Any]

_KINDS = {"reasoning": "thinking", "content": "text", "name": "tool_use", "arguments": "tool_use"}
_DELTAS = {
    "thinking": ("thinking_delta", "thinking"),
    "text": ("text_delta", "text"),
    "tool_use": ("input_json_delta", "partial_json"),
}


async def messages(request: Request) -> Response:
    """Answer a request for a message."""
    body = read_message(await read_json(request))
    try:
        options = served(request, body.model)
        chat_request = chat_of(body, options)
        turn = take(chat_request, options, *prepare(chat_request, options))
        reply = _Reply(request_id(request, "chatcmpl"), chat_request, turn, options)
    except LateError as error:
        return EventStream(paced([_late(error)])) if body.stream else _refused(error)
    except SimError as error:
        return _refused(error)
    engine = engine_of(request)
    if body.stream:
        return EventStream(engine.stream(reply.id, turn.generations, reply.events(), options.delay))
    await engine.spend(reply.id, turn.generations, options.delay)
    try:
        return Json(reply.whole())
    except SimError as error:
        return _refused(error)


async def count_tokens(request: Request) -> Response:
    """Answer a request for the number of tokens."""
    body = read_count(await read_json(request))
    try:
        options = served(request, body.model)
        _, tokens = prepare(chat_of(body, options), options)
    except SimError as error:
        return _refused(error)
    count = len(tokens)
    return Json({"input_tokens": count, "context_management": {"original_input_tokens": count}})


def chat_of(body: CountRequest, options: Options) -> ChatRequest:
    """The chat request that a request for a message amounts to.

    Raises:
        SimError: a 400; there is none.
    """
    if isinstance(body, MessageRequest) and body.cache_salt is not None:
        check_cache_salt(body.cache_salt)
    try:
        chat_request = as_chat(body, options)
    except ValueError as error:
        raise refused(str(error)) from None
    choice = chat_request.tool_choice
    if isinstance(choice, NamedTool) and chat_request.tools:
        name = choice.function.name
        if name not in [tool.function.name for tool in chat_request.tools]:
            raise refused(f"The tool with name '{name}' is not found in the tools list.")
    return chat_request


def _refused(error: SimError) -> Response:
    told = {"type": error.type, "message": error.message}
    return Json({"type": "error", "error": told}, status_code=error.status)


class ChatCompletionStreamResponse(BaseModel):
    """A chunk of chat, as which vLLM reads an error. Errors tell the name of the class."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    choices: list[Body]


def _late(error: SimError) -> bytes:
    """The only event of a stream that the engine refuses: vLLM stumbles over the error of the chat below."""
    try:
        ChatCompletionStreamResponse.model_validate(
            error_body("nested", error.status, error.message, error.type, error.param)
        )
    except ValidationError as stumbled:
        return _event("error", error={"type": "internal_error", "message": str(stumbled)})
    raise AssertionError


class _Reply:
    """One message: the same turn as a whole or as events."""

    def __init__(self, id: str, request: ChatRequest, turn: Turn, options: Options) -> None:
        self.id, self.request, self.turn, self.options = id, request, turn, options
        self.generation: Generation = turn.generations[0]

    def whole(self) -> Body:
        """The message as a whole."""
        answer = chat.Reply(self.id, self.request, self.options).whole(self.turn)["choices"][0]["message"]
        content: list[Body] = []
        thought = answer.get("reasoning") or answer.get("reasoning_content")
        if thought:
            content.append({"type": "thinking", "thinking": thought, "signature": new_id() * 2})
        if answer["content"]:
            content.append({"type": "text", "text": answer["content"]})
        calls = answer.get("tool_calls") or []
        for call in calls:
            function = call["function"]
            block = {"type": "tool_use", "id": call["id"], "name": function["name"]}
            content.append({**block, "input": _object(function["arguments"])})
        content = content or [{"type": "text", "text": ""}]
        # Calls that are demanded without tools are none, and are told of all the same.
        demanded = self.request.tool_choice == "required"
        ending = self._ending(bool(calls) or demanded, bool(calls))
        ending = {key: value for key, value in ending.items() if value is not None}
        return {**self._head(), "content": content, **ending, "usage": self._usage()}

    def events(self) -> Iterator[bytes]:
        """The message as a stream."""
        usage = {"input_tokens": len(self.turn.prompt_tokens), "output_tokens": 0}
        begun = {**self._head(), "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        yield _event("message_start", message=begun)
        index, open_block, arguments, called = 0, None, "", False
        for token, following, _ in self.generation.steps():
            kind = _KINDS.get(token.channel)
            if kind is None or (token.channel != "name" and not token.text):
                continue
            if token.channel == "name" and (following is None or following.channel == "name"):
                continue
            block = (kind, token.call)
            if block != open_block:
                if open_block:
                    yield from _closed(open_block[0], index)
                    index += 1
                open_block, arguments = block, ""
                called = called or kind == "tool_use"
                yield _event("content_block_start", content_block=self._begun(kind, token), index=index)
            if token.channel != "name":
                type, field = _DELTAS[kind]
                arguments += token.text
                yield _event("content_block_delta", delta={"type": type, field: token.text}, index=index)
        if open_block:
            yield from _closed(open_block[0], index)
        ending = self._ending(called, called and _is_json(arguments))
        yield _event("message_delta", delta=ending, usage=self._usage())
        yield _event("message_stop")

    def _begun(self, kind: str, token: Token) -> Body:
        if kind == "tool_use":
            name = self.generation.called[token.call]
            return {"type": kind, "id": f"chatcmpl-tool-{new_id()}", "name": name, "input": {}}
        return {"type": kind, kind: ""}

    def _head(self) -> Body:
        return {"id": self.id, "type": "message", "role": "assistant", "model": self.options.models[0]}

    def _ending(self, called: bool, complete: bool) -> Body:
        """The reason why it ended: a stop string wins over calls that are not complete."""
        generation = self.generation
        reason, stop = generation.finish_reason, generation.stop_reason
        if reason == "length":
            return {"stop_reason": "max_tokens", "stop_sequence": None}
        if reason not in ("stop", "tool_calls"):
            return {"stop_reason": None, "stop_sequence": None}
        if isinstance(stop, str) and not complete:
            return {"stop_reason": "stop_sequence", "stop_sequence": stop}
        used = called or reason == "tool_calls"
        return {"stop_reason": "tool_use" if used else "end_turn", "stop_sequence": None}

    def _usage(self) -> Body:
        details = self.options.prompt_tokens_details
        cache = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0} if details else {}
        prompt = len(self.turn.prompt_tokens)
        return {"input_tokens": prompt, "output_tokens": self.turn.completion_tokens, **cache}


def _closed(kind: str, index: int) -> Iterator[bytes]:
    """The events that end a block; thinking is signed."""
    if kind == "thinking":
        delta = {"type": "signature_delta", "signature": new_id() * 2}
        yield _event("content_block_delta", delta=delta, index=index)
    yield _event("content_block_stop", index=index)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _object(text: str) -> Body:
    """Arguments as an object; vLLM fails on those that are none, with a 500."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        raise SimError(500, "Internal server error") from None
    return found if isinstance(found, dict) else {}


def _event(type: str, **fields: Any) -> bytes:
    return event({"type": type, **fields}, type)
