"""`/inference/v1/generate`: tokens in, tokens out, plain and streamed; and `/inference/v1/abort_requests`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of, served
from ..http.errors import LateError, SimError, refused
from ..http.options import Options
from ..http.replies import DONE, EventStream, Json, error_event, event, now, paced, read_json, request_id
from ..requests.generate import GenerateRequest, as_chat, read_generate
from ..requests.sampling import check_engine
from .completions import complete
from .generation import Generation, Token
from .logprobs import chat_entry, prompt_entries, top
from .tokens import END_OF_TURN, VOCABULARY_SIZE, decode
from .turns import take
from .usage import brief_usage

_MOST_AT_ONCE = 256


async def generate(request: Request) -> Response:
    """Answer a request for tokens."""
    body = read_generate(await read_json(request))
    options = served(request, body.model)
    _check(body, options)
    id = request_id(request, "generate-tokens", body.request_id)
    try:
        reply = Reply(id, body, options, _generations(body, options))
    except LateError as error:
        if not body.stream:
            raise
        return EventStream(paced([error_event(error, options.error_shape), DONE]))
    engine, generations = engine_of(request), reply.generations
    if body.stream:
        return EventStream(engine.stream(id, generations, reply.events(), options.delay))
    await engine.spend(id, generations, options.delay)
    return Json(reply.whole())


async def abort(request: Request) -> Response:
    """Abort requests by their ids."""
    try:
        body = json.loads(await request.body())
    except json.JSONDecodeError as error:
        raise SimError(400, f"JSON decode error: {error}", type="Bad Request") from None
    if not isinstance(body, dict):
        kind = type(body).__name__
        raise SimError(500, f"'{kind}' object has no attribute 'get'", None, "InternalServerError")
    ids = body.get("request_ids")
    if ids is None:
        raise SimError(400, "Missing 'request_ids' in request body", type="Bad Request")
    engine_of(request).abort(ids if isinstance(ids, list) else [])
    return Response()


def _check(body: GenerateRequest, options: Options) -> None:
    """Refuse what can be refused before the engine sees it."""
    n = body.sampling_params.choices
    if n > _MOST_AT_ONCE:
        raise refused(
            f"sampling_params.n must be at most the server's max_num_seqs ({_MOST_AT_ONCE}), got {n}."
        )
    if body.content_parts and not options.multimodal:
        raise refused(f"{options.models[0]} is not a multimodal model")
    if len(body.token_ids) > options.max_model_len:
        raise refused(
            f"The decoder prompt (length {len(body.token_ids)}) is longer than the maximum model length of "
            f"{options.max_model_len}. Make sure that `max_model_len` is no smaller than the number of text "
            "tokens."
        )


def _generations(body: GenerateRequest, options: Options) -> list[Generation]:
    """The choices that follow a prompt: a conversation's as in chat, any other's as in completions."""
    sampling = body.sampling_params
    for token in body.token_ids:
        if token >= VOCABULARY_SIZE:
            raise refused(f"Token id {token} is out of vocabulary", late=True)
    check_engine(sampling, sampling.logprobs)
    chat = as_chat(body)
    if chat is not None:
        return take(chat, options, "", body.token_ids).generations
    room = options.max_model_len - len(body.token_ids)
    return [complete(decode(body.token_ids), sampling, options, room)] * sampling.choices


class Reply:
    """One answer: the same tokens as a whole or as events."""

    def __init__(
        self, id: str, request: GenerateRequest, options: Options, generations: list[Generation]
    ) -> None:
        self.id, self.request, self.options, self.generations = id, request, options, generations

    def whole(self) -> dict[str, Any]:
        """The answer as a whole."""
        request, count = self.request, self.request.sampling_params.prompt_logprobs
        return {
            "request_id": self.id,
            "model": self.options.models[0],
            "created": now(),
            "usage": self._usage(sum(len(each.tokens) for each in self.generations)),
            "prompt_logprobs": None if count is None else prompt_entries(request.token_ids, count),
            "prompt_token_id_logprobs": None,
            "prompt_token_ids": request.token_ids if request.return_token_ids else None,
            "mm_placeholders": None,
            "metrics": None,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "output_mode": request.output_mode,
            "choices": [
                self._choice(i, each.tokens, each, ended=True) for i, each in enumerate(self.generations)
            ],
        }

    def events(self) -> Iterator[bytes]:
        """The answer as a stream."""
        request, stream_options = self.request, self.request.stream_options
        usage = bool(stream_options and stream_options.include_usage)
        continuous = usage and bool(stream_options and stream_options.continuous_usage_stats)
        counts = [0] * len(self.generations)
        first: dict[str, Any] = {"prompt_token_ids": request.token_ids} if request.return_token_ids else {}
        for steps in zip_longest(*(each.steps() for each in self.generations)):
            for i, step in enumerate(steps):
                if step is None:
                    continue
                counts[i] += len(step.token.ids)
                tokens = [step.token] if step.token.ids else []
                choice = self._choice(i, tokens, self.generations[i], ended=step.ended)
                told = {**brief_usage(len(request.token_ids), counts[i]), **_NO_DETAILS}
                head = {"request_id": self.id, "usage": told if continuous else None, **first}
                yield event({**head, "output_mode": request.output_mode, "choices": [choice]})
                first = {}
        if usage:
            total = {key: value for key, value in self._usage(sum(counts)).items() if value is not None}
            if "prompt_tokens_details" in total:
                total["prompt_tokens_details"] = {"cached_tokens": 0}
            head = {"request_id": self.id, "usage": total}
            yield event({**head, "output_mode": request.output_mode, "choices": []})
        yield DONE

    def _choice(
        self, index: int, tokens: list[Token], generation: Generation, *, ended: bool
    ) -> dict[str, Any]:
        reason = "stop" if generation.finish_reason == "tool_calls" else generation.finish_reason
        weights = {"version": "default", "start": 0, "end": len(generation.tokens)}
        choice: dict[str, Any] = {
            "index": index,
            "finish_reason": reason if ended else None,
            "stop_reason": generation.stop_reason if ended else None,
            "token_ids": [token.id for token in tokens],
            "routed_experts": None,
            "sampling_mask": None,
            "weight_versions": [weights] if ended else None,
        }
        if self.request.output_mode == "text":
            choice["text"] = "".join(map(_text, tokens))
        return {**choice, "logprobs": self._logprobs(tokens)}

    def _logprobs(self, tokens: list[Token]) -> dict[str, Any] | None:
        count = self.request.sampling_params.logprobs
        if count is None:
            return None
        count = max(count, 1)
        if self.request.output_mode == "text":
            return {"content": [chat_entry(token.id, count, as_ids=False) for token in tokens]}
        return {"content": [_entry(token.id, count) for token in tokens]}

    def _usage(self, completion_tokens: int) -> dict[str, Any]:
        details = {"cached_tokens": 0, "created_cache_tokens": None, "multimodal_tokens": None}
        told = {"prompt_tokens_details": details} if self.options.prompt_tokens_details else {}
        return {**brief_usage(len(self.request.token_ids), completion_tokens), **_NO_DETAILS, **told}


_NO_DETAILS = {"prompt_tokens_details": None, "completion_tokens_details": None}


def _entry(token: int, count: int) -> dict[str, Any]:
    ranked = [
        {"token_id": other, "logprob": value, "rank": rank}
        for rank, (other, value) in enumerate(top(token, count), 1)
    ]
    return {**ranked[0], "top_logprobs": ranked}


def _text(token: Token) -> str:
    """The text of a token, marks included; the end of a turn has none."""
    if token.id == END_OF_TURN:
        return ""
    return token.raw if token.channel == "mark" else token.text
