"""`/v1/chat/completions`, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of, served
from ..http.errors import LateError
from ..http.options import Options
from ..http.replies import (
    DONE,
    EventStream,
    Json,
    error_event,
    event,
    new_id,
    now,
    paced,
    read_json,
    request_id,
)
from ..requests.chat import ChatRequest, read_chat
from ..requests.prompts import multimodal_tokens
from .generation import Generation, Token
from .grammar import text_of
from .logprobs import chat_entry, prompt_entries
from .turns import Turn, prepare, take
from .usage import brief_usage, chat_usage, without_nulls

Delta = dict[str, Any]


async def chat_completions(request: Request) -> Response:
    """Answer a chat completions request."""
    body = read_chat(await read_json(request))
    options = served(request, body.model)
    prompt, tokens = prepare(body, options)
    reply = Reply(request_id(request, "chatcmpl", body.request_id), body, options)
    try:
        turn = take(body, options, prompt, tokens)
    except LateError as error:
        if not body.stream:
            raise
        return EventStream(paced([error_event(error, options.error_shape), DONE], 0))
    headers = _load_metrics(request)
    if body.stream:
        events = engine_of(request).stream(reply.id, turn.generations, reply.events(turn), options.delay)
        return EventStream(events, headers)
    await engine_of(request).spend(reply.id, turn.generations, options.delay)
    return Json(reply.whole(turn), headers=headers)


class Reply:
    """One chat completion: the same turn as a whole or as events."""

    def __init__(self, id: str, request: ChatRequest, options: Options) -> None:
        self.id, self.request, self.options = id, request, options
        self.created = now()
        # Who hides the reasoning hides what would tell it, too.
        self.hides = options.reasoning and not request.include_reasoning
        self.logprobs = None if self.hides else request.wanted_logprobs
        self.ids = bool(request.return_token_ids) and not self.hides
        begun = request.conversation[-1]
        self.echoed = text_of(begun) if request.echo and begun.get("role") == "assistant" else ""

    def whole(self, turn: Turn) -> dict[str, Any]:
        """The answer as a whole."""
        request = self.request
        count = request.prompt_logprobs
        if count is None and request.echo:
            count = request.top_logprobs
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.options.models[0],
            "choices": [self._choice(i, generation) for i, generation in enumerate(turn.generations)],
            "service_tier": None,
            "system_fingerprint": self.options.fingerprint,
            "usage": self._usage(turn),
            "prompt_logprobs": None if count is None else prompt_entries(turn.prompt_tokens, count),
            "prompt_token_ids": turn.prompt_tokens if request.return_token_ids else None,
            "prompt_text": turn.prompt_text if request.return_prompt_text else None,
            "kv_transfer_params": request.kv_transfer_params,
            "ec_transfer_params": request.ec_transfer_params,
            "metrics": None,
        }

    def events(self, turn: Turn) -> Iterator[bytes]:
        """The answer as a stream."""
        request, stream_options = self.request, self.request.stream_options
        usage = bool(stream_options and stream_options.include_usage)
        running = (
            RunningUsage(self, turn)
            if usage and stream_options and stream_options.continuous_usage_stats
            else None
        )
        for i in range(len(turn.generations)):
            delta: Delta = {"role": "assistant", "content": ""}
            ids = turn.prompt_tokens if request.return_token_ids else None
            text = turn.prompt_text if request.return_prompt_text else None
            first = {"index": i, "delta": delta, "logprobs": None, "finish_reason": None}
            fields = running.of(i) if running else {}
            yield self._chunk([first], **fields, prompt_token_ids=ids, prompt_text=text)
        if self.echoed:
            for i in range(len(turn.generations)):
                begun = {"index": i, "delta": {"content": self.echoed}, "logprobs": None}
                yield self._chunk([{**begun, "finish_reason": None}])
        for step in zip_longest(*(self._steps(i, each) for i, each in enumerate(turn.generations))):
            for token, choice in filter(None, step):
                if running:
                    running.count(choice["index"], token)
                if choice["delta"] is None:
                    continue
                last = choice["finish_reason"] is not None and not usage
                fields = running.of(choice["index"]) if running else {}
                if last:
                    fields["system_fingerprint"] = self.options.fingerprint
                yield self._chunk([choice], **fields)
        if usage:
            total = without_nulls(self._usage(turn))
            yield self._chunk([], usage=total, system_fingerprint=self.options.fingerprint)
        yield DONE

    def deltas(self, generation: Generation) -> list[Delta]:
        """The deltas of a generation that may not have ended yet."""
        steps = (self._delta(each.token, each.following, generation.called) for each in generation.steps())
        return [delta for delta in steps if delta]

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return event(
            {
                "id": self.id,
                "object": "chat.completion.chunk",
                "created": self.created,
                "model": self.options.models[0],
                "choices": choices,
                **more,
            }
        )

    def _choice(self, index: int, generation: Generation) -> dict[str, Any]:
        request = self.request
        reasoning = generation.text("reasoning") or None
        content: str | None = self.echoed + generation.text("content")
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        message |= {"annotations": None, "audio": None, "function_call": None}
        if generation.called and generation.calls_complete:
            auto = request.tool_choice == "auto"
            message["content"] = content or (None if auto else "")
            message["tool_calls"] = [
                {
                    "id": f"chatcmpl-tool-{new_id()}",
                    "type": "function",
                    "function": {"name": name, "arguments": generation.text("arguments", i)},
                }
                for i, name in enumerate(generation.called)
            ]
        elif generation.thought_only:
            message["content"] = None
        else:
            message["content"] = (content or "") + generation.raw_calls
        message |= self._reasoning(reasoning if request.include_reasoning else None)
        logprobs = None
        if self.logprobs is not None:
            logprobs = {"content": [self._logprob(token) for token in generation.tokens]}
        return {
            "index": index,
            "message": message,
            "logprobs": logprobs,
            "finish_reason": generation.finish_reason,
            "stop_reason": generation.stop_reason,
            "token_ids": [token.id for token in generation.tokens] if self.ids else None,
            "routed_experts": None,
        }

    def _steps(self, index: int, generation: Generation) -> Iterator[tuple[Token, dict[str, Any]]]:
        """Each token with the choice that tells it; its `delta` is `None` where it tells nothing."""
        for token, following, ended in generation.steps():
            delta = self._delta(token, following, generation.called)
            if delta is None and (ended or self.ids or self.logprobs is not None):
                delta = {}
            elif delta and self.hides:
                calls = delta.pop("tool_calls", None)
                delta |= {**self._reasoning(None), **({"tool_calls": calls} if calls else {})}
            choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": None}
            if self.logprobs is not None:
                choice["logprobs"] = {"content": [self._logprob(token)] if token.ids else []}
            choice["finish_reason"] = generation.finish_reason if ended else None
            if ended:
                choice["stop_reason"] = generation.stop_reason
            choice["token_ids"] = token.ids if self.ids else None
            yield token, choice

    def _delta(self, token: Token, following: Token | None, called: list[str]) -> Delta | None:
        if token.channel == "content":
            return {"content": token.text} if token.text else None
        if token.channel == "reasoning":
            return self._reasoning(token.text) if token.text and not self.hides else None
        if token.channel == "name":
            if following is None or following.channel == "name":
                return None
            name = called[token.call]
            call = {"id": f"chatcmpl-tool-{new_id()}", "type": "function", "index": token.call}
            return {"content": None, "tool_calls": [{**call, "function": {"name": name}}]}
        if token.channel == "arguments":
            call = {"index": token.call, "function": {"arguments": token.text}}
            return {"content": None, "tool_calls": [call]}
        return None

    def _reasoning(self, text: str | None) -> dict[str, str | None]:
        field = self.options.reasoning_field
        return {name: text for name in ("reasoning", "reasoning_content") if field in (name, "both")}

    def _logprob(self, token: Token) -> dict[str, Any]:
        request = self.request
        as_ids = bool(request.return_tokens_as_token_ids)
        return chat_entry(token.id, self.logprobs or 0, as_ids, request.logprob_token_ids)

    def _usage(self, turn: Turn) -> dict[str, Any]:
        details, reasoning = self.options.prompt_tokens_details, self.options.reasoning
        media = multimodal_tokens(turn.prompt_tokens)
        return chat_usage(turn, details=details, reasoning=reasoning, media=media)


class RunningUsage:
    """The usage on every chunk of a stream: of one choice so far, without the prompt's details."""

    def __init__(self, reply: Reply, turn: Turn) -> None:
        self.prompt = len(turn.prompt_tokens)
        self.reasoning = reply.options.reasoning
        self.completion_tokens = [0] * len(turn.generations)
        self.reasoning_tokens = [0] * len(turn.generations)

    def count(self, index: int, token: Token) -> None:
        """Count one more token of a choice."""
        self.completion_tokens[index] += len(token.ids)
        self.reasoning_tokens[index] += token.channel == "reasoning"

    def of(self, index: int) -> dict[str, Any]:
        """The field of a chunk."""
        usage: dict[str, Any] = {**brief_usage(self.prompt, self.completion_tokens[index])}
        if self.reasoning:
            usage["completion_tokens_details"] = {"reasoning_tokens": self.reasoning_tokens[index]}
        return {"usage": usage}


def _load_metrics(request: Request) -> dict[str, str] | None:
    """The header in which a load balancer may ask how busy the server is."""
    kind = request.headers.get("endpoint-load-metrics-format", "").upper()
    if kind == "JSON":
        told = 'JSON {"named_metrics": {"num_requests_waiting": 0.0, "kv_cache_usage_perc": 0.0}}'
    elif kind == "TEXT":
        told = "TEXT named_metrics.num_requests_waiting=0.0, named_metrics.kv_cache_usage_perc=0.0"
    else:
        return None
    return {"endpoint-load-metrics": told}
