"""`/v1/responses`, vLLM's own, plain and streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of, served
from ..http.errors import LateError
from ..http.options import Options
from ..http.replies import EventStream, Json, event, new_id, now, read_json
from ..http.wire import connection_of
from ..requests.responses import ResponsesRequest, as_chat, check_store, no_response, read_responses
from ..requests.sampling import check_trusted
from .generation import Generation, Token
from .logprobs import chat_entry
from .turns import Turn, prepare, take

_TOOL_FIELDS = (
    *("name", "parameters", "strict", "type"),
    *("allowed_callers", "async", "defer_loading", "description", "output_schema"),
)
_LOGPROB_FIELDS = ("token", "bytes", "logprob")
_REASONING_FIELDS = ("context", "effort", "generate_summary", "mode", "summary")
Item = dict[str, Any]


async def responses(request: Request) -> Response:
    """Answer a Responses request."""
    body = read_responses(await read_json(request))
    options = served(request, body.model)
    check_store(body)
    check_trusted(body.model_dump(include={"mm_processor_kwargs", "media_io_kwargs"}))
    chat = as_chat(body)
    prompt, tokens = prepare(chat, options)
    reply = Reply(body, options, request.headers.get("x-request-id"))
    try:
        turn = take(chat, options, prompt, tokens)
    except LateError:
        if not body.stream:
            raise
        return EventStream(_cut_off(request, reply))
    if body.stream:
        events = engine_of(request).stream(reply.id, turn.generations, reply.events(turn), options.delay)
        return EventStream(events)
    await engine_of(request).spend(reply.id, turn.generations, options.delay)
    return Json(reply.whole(turn))


async def stored_response(request: Request) -> Response:
    """Refuse to find or cancel a response: none is stored."""
    raise no_response(request.path_params["id"])


async def _cut_off(request: Request, reply: Reply) -> AsyncIterator[bytes]:
    """A stream that the engine refuses too late: it begins, and then the connection is cut."""
    for each in reply.beginning():
        yield each
    if connection := connection_of(request.scope):
        connection.close()


class Reply:
    """One response: the same turn as a whole or as events."""

    def __init__(self, request: ResponsesRequest, options: Options, id: str | None) -> None:
        self.request, self.options = request, options
        self.id = f"resp_{id or new_id()}" if id or not request.request_id else request.request_id
        self.created = now()
        self.sequence = 0

    def whole(self, turn: Turn) -> dict[str, Any]:
        """The response as a whole."""
        generation = turn.generations[0]
        items = [item.whole(None) for item in self._items(generation)]
        return self._response(turn, items)

    def beginning(self) -> Iterator[bytes]:
        """The two events with which every stream begins."""
        response = self._response(None, [])
        yield self._event("response.created", {"response": response})
        yield self._event("response.in_progress", {"response": response})

    def events(self, turn: Turn) -> Iterator[bytes]:
        """The response as a stream."""
        yield from self.beginning()
        done = []
        for index, item in enumerate(self._items(turn.generations[0])):
            for name, payload in item.events(index):
                yield self._event(name, payload)
            done.append(item.whole("completed"))
        yield self._event("response.completed", {"response": self._response(turn, done)})

    def _event(self, name: str, payload: dict[str, Any]) -> bytes:
        last = {key: payload.pop(key) for key in ("name",) if key in payload}  # newer than the others
        body = dict(sorted({**payload, "sequence_number": self.sequence, "type": name}.items())) | last
        self.sequence += 1
        return event(body, name)

    def _items(self, generation: Generation) -> Iterator[OutputItem]:
        """The output items, in the order in which they were generated."""
        count = None
        if "message.output_text.logprobs" in (self.request.include or ()):
            count = self.request.top_logprobs
        spoken = [token for token in generation.tokens if token.channel == "reasoning" and token.text]
        if spoken and self.request.include_reasoning:
            yield Reasoning(spoken)
        said = [token for token in generation.tokens if token.channel == "content" and token.text]
        complete = generation.calls_complete
        if generation.called and not complete:
            said += [Token(token.id, token.raw, "content", token.raw) for token in _call_tokens(generation)]
        if said:
            yield Message(said, count)
        for i, name in enumerate(generation.called if complete else ()):
            mine = [t for t in generation.tokens if t.channel == "arguments" and t.call == i]
            yield FunctionCall(name, mine)

    def _response(self, turn: Turn | None, output: list[Item]) -> dict[str, Any]:
        request, choice = self.request, self.request.tool_choice
        cut = turn is not None and turn.generations[0].finish_reason == "length"
        status = "in_progress" if turn is None else "incomplete" if cut else "completed"
        reasoning = request.reasoning and request.reasoning.model_dump()
        return {
            "id": self.id,
            "created_at": self.created,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": request.instructions,
            "metadata": request.metadata,
            "model": self.options.models[0],
            "object": "response",
            "output": output,
            "parallel_tool_calls": request.parallel_tool_calls,
            "temperature": 1.0 if request.temperature is None else request.temperature,
            "tool_choice": dict(sorted(choice.items())) if isinstance(choice, dict) else choice,
            "tools": [self._tool(tool) for tool in request.tools],
            "top_p": 1.0 if request.top_p is None else request.top_p,
            "background": request.background,
            "max_output_tokens": request.max_output_tokens,
            "max_tool_calls": request.max_tool_calls,
            "previous_response_id": None,
            "prompt": None,
            "reasoning": reasoning and {key: reasoning.get(key) for key in _REASONING_FIELDS},
            "service_tier": request.service_tier,
            "status": status,
            "text": self._text(),
            "top_logprobs": request.top_logprobs or None,
            "truncation": request.truncation,
            "usage": self._usage(turn) if turn else None,
            "user": request.user,
            "presence_penalty": request.presence_penalty or 0.0,
            "frequency_penalty": request.frequency_penalty or 0.0,
            "kv_transfer_params": request.kv_transfer_params,
            "ec_transfer_params": request.ec_transfer_params,
            "input_messages": None,
            "output_messages": None,
        }

    def _tool(self, tool: Item) -> Item:
        if tool.get("type") != "function":
            return tool
        return {field: tool.get(field) for field in _TOOL_FIELDS}

    def _text(self) -> Item | None:
        text = self.request.text
        if text is None:
            return None
        form = text.get("format")
        if form and form.get("type") == "json_schema":
            keys = ("name", "schema", "type", "description", "strict")
            form = {key: form.get(key) for key in keys}
        return {"format": form, "verbosity": text.get("verbosity")}

    def _usage(self, turn: Turn) -> dict[str, Any]:
        input_tokens = len(turn.prompt_tokens)
        return {
            "input_tokens": input_tokens,
            "input_tokens_details": {
                "cached_tokens": 0,
                "cache_write_tokens": 0,
                "input_tokens_per_turn": [],
                "cached_tokens_per_turn": [],
            },
            "output_tokens": turn.completion_tokens,
            "output_tokens_details": {
                "reasoning_tokens": turn.reasoning_tokens,
                "tool_output_tokens": 0,
                "output_tokens_per_turn": [],
                "tool_output_tokens_per_turn": [],
            },
            "total_tokens": input_tokens + turn.completion_tokens,
        }


def _call_tokens(generation: Generation) -> list[Token]:
    """The tokens of a tool call that was cut off, which is told as text."""
    raw, tokens = generation.raw_calls, list[Token]()
    for token in reversed(generation.tokens):
        if not raw:
            break
        tokens.insert(0, token)
        raw = raw.removesuffix(token.raw)
    return tokens


Events = Iterator[tuple[str, dict[str, Any]]]


class OutputItem:
    """An item of a response's output."""

    def __init__(self, prefix: str, tokens: list[Token]) -> None:
        self.id = f"{prefix}_{new_id()}"
        self.tokens = tokens
        self.text = "".join(token.text for token in tokens)

    def whole(self, status: str | None) -> Item:
        """The item as a whole; only streams tell the status of all of them."""
        raise NotImplementedError

    def events(self, index: int) -> Events:
        """The events that build the item up."""
        raise NotImplementedError


class Reasoning(OutputItem):
    """Reasoning."""

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__("rs", tokens)

    def whole(self, status: str | None) -> Item:
        """The item as a whole."""
        return self._item([{"text": self.text, "type": "reasoning_text"}], status)

    def _item(self, content: list[Item] | None, status: str | None) -> Item:
        item = {"id": self.id, "summary": [], "type": "reasoning", "content": content}
        return {**item, "encrypted_content": None, "status": status}

    def events(self, index: int) -> Events:
        """The events that build the item up."""
        place = {"item_id": self.id, "output_index": index, "content_index": 0}
        yield (
            "response.output_item.added",
            {"output_index": index, "item": self._item(None, "in_progress")},
        )
        yield "response.content_part.added", {**place, "part": {"text": "", "type": "reasoning_text"}}
        for token in self.tokens:
            yield "response.reasoning_text.delta", {**place, "delta": token.text}
        yield "response.reasoning_text.done", {**place, "text": self.text}
        part = {"text": self.text, "type": "reasoning_text"}
        yield "response.content_part.done", {**place, "part": part}
        yield "response.output_item.done", {"output_index": index, "item": self.whole("completed")}


class Message(OutputItem):
    """A message."""

    def __init__(self, tokens: list[Token], logprobs: int | None) -> None:
        super().__init__("msg", tokens)
        self.count = logprobs

    def whole(self, status: str | None) -> Item:
        """The item as a whole."""
        return self._item([self._part(self.text, self._logprobs(self.tokens) or None)], "completed")

    def _item(self, content: list[Item], status: str) -> Item:
        item = {"id": self.id, "content": content, "role": "assistant", "status": status}
        return {**item, "type": "message", "phase": None}

    def _part(self, text: str, logprobs: list[Item] | None) -> Item:
        return {"annotations": [], "text": text, "type": "output_text", "logprobs": logprobs}

    def _logprobs(self, tokens: list[Token], keys: tuple[str, ...] = _LOGPROB_FIELDS) -> list[Item]:
        if self.count is None:
            return []
        told = [chat_entry(token.id, self.count, False) for token in tokens]
        for each in told:
            tops = each.pop("top_logprobs")
            each["top_logprobs"] = [{key: top[key] for key in keys} for top in tops]
        return [{key: each[key] for key in (*keys, "top_logprobs")} for each in told]

    def events(self, index: int) -> Events:
        """The events that build the item up."""
        place = {"item_id": self.id, "output_index": index, "content_index": 0}
        yield (
            "response.output_item.added",
            {"output_index": index, "item": self._item([], "in_progress")},
        )
        yield "response.content_part.added", {**place, "part": self._part("", [])}
        for token in self.tokens:
            delta = {"delta": token.text, "logprobs": self._logprobs([token], ("token", "logprob"))}
            yield "response.output_text.delta", {**place, **delta}
        yield "response.output_text.done", {**place, "text": self.text, "logprobs": []}
        part = self._part(self.text, self._logprobs(self.tokens) or None)
        yield "response.content_part.done", {**place, "part": part}
        yield "response.output_item.done", {"output_index": index, "item": self.whole("completed")}


class FunctionCall(OutputItem):
    """A call of a function."""

    def __init__(self, name: str, tokens: list[Token]) -> None:
        super().__init__("fc", tokens)
        self.name, self.call_id = name, f"chatcmpl-tool-{new_id()}"

    def whole(self, status: str | None) -> Item:
        """The item as a whole."""
        return self._item(self.text, "completed")

    def _item(self, arguments: str, status: str) -> Item:
        item = {"arguments": arguments, "call_id": self.call_id, "name": self.name, "type": "function_call"}
        more = {"id": self.id, "async": None, "caller": None, "namespace": None, "status": status}
        return {**item, **more}

    def events(self, index: int) -> Events:
        """The events that build the item up."""
        place = {"item_id": self.id, "output_index": index}
        yield (
            "response.output_item.added",
            {"output_index": index, "item": self._item("", "in_progress")},
        )
        for token in self.tokens:
            yield "response.function_call_arguments.delta", {**place, "delta": token.text}
        done = {**place, "arguments": self.text, "name": self.name}
        yield "response.function_call_arguments.done", done
        yield "response.output_item.done", {"output_index": index, "item": self.whole("completed")}
