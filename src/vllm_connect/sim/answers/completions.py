"""`/v1/completions`, plain and streamed: raw prompts, of which there may be many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated, Any

from pydantic import Field, PrivateAttr
from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import engine_of, served
from ..http.errors import LateError, refused, validated
from ..http.options import Options
from ..http.replies import DONE, EventStream, Json, error_event, event, now, paced, read_json, request_id
from ..requests.prompts import check_room, fit
from ..requests.sampling import (
    COMPLETION_ORDER,
    Sampling,
    check_engine,
    check_options,
    check_sampling,
    check_trusted,
)
from .constrain import constraint_of
from .generation import Generation, generate
from .grammar import answer
from .logprobs import completion_logprobs, prompt_entries
from .tokens import VOCABULARY_SIZE, decode
from .usage import brief_usage, without_nulls

_DEFAULT_MAX_TOKENS = 16
TokenId = Annotated[int, Field(ge=0)]


class CompletionRequest(Sampling):
    """The body of `/v1/completions`."""

    ORDER = COMPLETION_ORDER

    n: int = 1
    prompt_embeds: bytes | list[bytes] | None = None
    prompt: list[TokenId] | list[list[TokenId]] | str | list[str] | None = None
    logprobs: int | None = None
    suffix: str | None = None
    add_special_tokens: bool = True

    _scores_only: bool = PrivateAttr(default=False)

    @property
    def scores_only(self) -> bool:
        """True if only the prompt is wanted, and what is likely in it."""
        return self._scores_only


@dataclass
class Completion:
    """One prompt with what was generated for it."""

    text: str
    tokens: list[int]
    generation: Generation


def _check_logprobs(logprobs: Any) -> None:
    if logprobs is None:
        return
    if not isinstance(logprobs, (int, float)):
        raise refused("`logprobs` must be an integer.", "logprobs", logprobs)
    if logprobs < 0 and logprobs != -1:
        raise refused("`logprobs` must be a positive value or -1.", "logprobs", logprobs)


async def completions(request: Request) -> Response:
    """Answer a completions request."""
    body = read_completion(await read_json(request))
    options = served(request, body.model)
    prompts = prompts_of(body, options)
    reply = Reply(request_id(request, "cmpl", body.request_id), body, options)
    try:
        check_engine(body, body.logprobs)
        done = [
            Completion(text, tokens, complete(text, body, options, options.max_model_len - len(tokens)))
            for text, tokens in prompts
            for _ in range(body.choices)
        ]
    except LateError as error:
        if not body.stream:
            raise
        return EventStream(paced([error_event(error, options.error_shape), DONE]))
    generations = [each.generation for each in done]
    if body.stream:
        events = engine_of(request).stream(reply.id, generations, reply.events(done), options.delay)
        return EventStream(events)
    await engine_of(request).spend(reply.id, generations, options.delay)
    return Json(reply.whole(done))


def read_completion(data: Any) -> CompletionRequest:
    """Check a body and make a request of it.

    Raises:
        SimError: a 400.
    """
    if isinstance(data, dict):
        if data.get("prompt") in (None, "") and data.get("prompt_embeds") in (None, []):
            raise refused("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
        check_options(data)
        _check_logprobs(data.get("logprobs"))
    body = validated(CompletionRequest, data)
    body._scores_only = bool(body.echo) and body.max_tokens == 0
    return body


def _suffix() -> Exception:
    error = refused("suffix is only supported for models with FIM completion rendering")
    error.param = "suffix"
    return error


def prompts_of(body: CompletionRequest, options: Options) -> list[tuple[str, list[int]]]:
    """Every prompt of a request as text and as tokens; vLLM looks at them after it found the model.

    Raises:
        SimError: a 400.
    """
    check_trusted(body.model_dump(include={"mm_processor_kwargs", "media_io_kwargs"}))
    if body.prompt_embeds is not None:
        raise refused("You must set `--enable-prompt-embeds` to input `prompt_embeds`.", "prompt_embeds")
    if body.suffix:
        raise _suffix()
    prompts = _prompts(body, options)
    if body.scores_only:
        body.max_tokens = 1
    elif body.max_tokens is None:
        body.max_tokens = _DEFAULT_MAX_TOKENS
    check_room(body.max_tokens, options.max_model_len)
    check_sampling(body)
    return prompts


def _prompts(body: CompletionRequest, options: Options) -> list[tuple[str, list[int]]]:
    inputs: Any = body.prompt
    if isinstance(inputs, str) or (inputs and isinstance(inputs[0], int)):
        inputs = [inputs]
    if not inputs:
        raise refused("You must pass at least one prompt")
    prompts = []
    for prompt in inputs:
        for token in prompt if isinstance(prompt, list) else ():
            if token >= VOCABULARY_SIZE:
                raise refused(f"Token id {token} is out of vocabulary")
        if not prompt:
            raise refused("The decoder prompt cannot be empty")
        tokens = fit(
            prompt, options.max_model_len, truncate=body.truncate_prompt_tokens, side=body.truncation_side
        )
        prompts.append((decode(tokens), tokens))
    return prompts


def complete(text: str, sampling: Sampling, options: Options, room: int) -> Generation:
    """Generate after a raw prompt.

    Args:
        text: the prompt.
        sampling: how to generate.
        options: those of the server.
        room: how many tokens the context still has.
    """
    draft = answer([{"role": "user", "content": text}])
    draft.content = (draft.content or "").removeprefix(text)
    # With a reasoning parser, vLLM waits for the end of a reasoning that never comes.
    if not options.reasoning and (constraint := constraint_of(sampling)):
        draft.content = constraint.apply(draft, text)
    return generate(draft, sampling, thinking=False, room=room, forced=False)


class Reply:
    """One answer: the same completions as a whole or as events."""

    def __init__(self, id: str, request: CompletionRequest, options: Options) -> None:
        self.id, self.request, self.options = id, request, options
        self.created = now()

    def whole(self, done: list[Completion]) -> dict[str, Any]:
        """The answer as a whole."""
        return {
            **self._head(),
            "choices": [self._choice(i, each) for i, each in enumerate(done)],
            "service_tier": None,
            "system_fingerprint": self.options.fingerprint,
            "usage": self._usage(done),
            "kv_transfer_params": self.request.kv_transfer_params,
            "ec_transfer_params": self.request.ec_transfer_params,
            "metrics": None,
        }

    def events(self, done: list[Completion]) -> Iterator[bytes]:
        """The answer as a stream."""
        stream_options = self.request.stream_options
        usage = bool(stream_options and stream_options.include_usage)
        continuous = usage and bool(stream_options and stream_options.continuous_usage_stats)
        counts = [0] * len(done)
        for step in zip_longest(*(self._steps(i, each) for i, each in enumerate(done))):
            for choice in filter(None, step):
                index = choice["index"]
                counts[index] += 1
                more: dict[str, Any] = {}
                if continuous:
                    more["usage"] = brief_usage(len(done[index].tokens), counts[index])
                if choice["finish_reason"] and not usage:
                    more["system_fingerprint"] = self.options.fingerprint
                yield event({**self._head(), "choices": [choice], **more})
        if usage:
            last = {"usage": without_nulls(self._usage(done)), "system_fingerprint": self.options.fingerprint}
            yield event({**self._head(), "choices": [], **last})
        yield DONE

    def _head(self) -> dict[str, Any]:
        head = {"id": self.id, "object": "text_completion", "created": self.created}
        return {**head, "model": self.options.models[0]}

    def _choice(self, index: int, done: Completion) -> dict[str, Any]:
        request, generation = self.request, done.generation
        tokens = [] if request.scores_only else generation.tokens
        text = (done.text if request.echo else "") + "".join(token.text for token in tokens)
        ids = [token.id for token in tokens]
        logprobs = None
        if request.logprobs is not None:
            before = done.tokens if request.echo else []
            as_ids = bool(request.return_tokens_as_token_ids)
            logprobs = completion_logprobs(before + ids, request.logprobs, as_ids, first_unknown=bool(before))
        count = request.prompt_logprobs
        if count is None and request.echo:
            count = request.logprobs
        return {
            "index": index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": "length" if request.scores_only else generation.finish_reason,
            "stop_reason": generation.stop_reason,
            "token_ids": ids if request.return_token_ids else None,
            "prompt_logprobs": None if count is None else prompt_entries(done.tokens, count),
            "prompt_token_ids": done.tokens if request.return_token_ids else None,
            "routed_experts": None,
        }

    def _steps(self, index: int, done: Completion) -> Iterator[dict[str, Any]]:
        request, generation = self.request, done.generation
        offset = 0
        for at, (token, _, ended) in enumerate(generation.steps()):
            first = at == 0 and (request.return_token_ids or request.echo)
            text = "" if request.scores_only else token.text
            logprobs = None
            if request.logprobs is not None:
                as_ids = bool(request.return_tokens_as_token_ids)
                logprobs = completion_logprobs(token.ids, request.logprobs, as_ids, offset)
            offset += len(token.raw)
            yield {
                "index": index,
                "text": (done.text if request.echo and at == 0 else "") + text,
                "logprobs": logprobs,
                "finish_reason": generation.finish_reason if ended else None,
                "stop_reason": generation.stop_reason if ended else None,
                "prompt_token_ids": done.tokens if first else None,
                "token_ids": token.ids if request.return_token_ids else None,
            }

    def _usage(self, done: list[Completion]) -> dict[str, Any]:
        prompt = sum(len(each.tokens) for each in done[:: self.request.choices])
        details = {"cached_tokens": 0, "created_cache_tokens": None, "multimodal_tokens": None}
        return {
            **brief_usage(prompt, sum(len(each.generation.tokens) for each in done)),
            "prompt_tokens_details": details if self.options.prompt_tokens_details else None,
            "completion_tokens_details": None,
        }
