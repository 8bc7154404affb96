"""Decisions: POST /v1/decisions, else /v1/systemone, else one token of a chat for each question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import openai
import orjson
from openai._constants import RAW_RESPONSE_HEADER
from typing_extensions import Unpack

from .._calls.call import Call, Variant, json_call
from .._transport.run import run
from .._wire.body import RequestOptions, encode, names, read_params
from .._wire.decoding import JsonObject
from .._wire.label_reads import (
    LETTERS,
    LabelRead,
    answer_of,
    options_of,
    prompt_of,
    read_letters,
    structured_reads,
    structured_request,
    text_of,
    usage_of,
)
from .._wire.objects import NotAReply, Reader, read_object
from .._wire.payloads import ErrorPayload
from ..errors import UnsupportedOperationError
from ..types import ChatCompletion, Decision
from ..types.decision import DecisionQuestion
from ._base import AsyncOwnResource, OwnResource
from .chat import chat_call, read_chat
from .tokens import detokenize_call, tokenize_call

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM
    from .._transport._httpx import httpx

T = TypeVar("T")


class DecisionParams(RequestOptions, total=False):
    """Parameters of `decisions.create`: those that vLLM knows; it refuses any other."""

    model: str
    input: str | Iterable[Mapping[str, object]]
    """A text, or messages of users."""
    questions: Iterable[DecisionQuestion]
    safety_identifier: str | None
    joint: bool | None
    """Whether questions are read together (vLLM >= 0.33, with models that can)."""
    cache_salt: str | None


class Perform(Protocol):
    """Makes a call, in either world."""

    def __call__(self, call: Call[T], /) -> Awaitable[T]:
        """Make a call."""


_OPERATION = "decisions.create"
_PATH, _OLDER_PATH = "/v1/decisions", "/v1/systemone"
_KNOWN = names(DecisionParams)
_MISSING = frozenset({404, 405, 501})
"""What a server answers that has no such route, or whose model has no way to decide: but a chat may have."""
_PLAIN = {"chat_template_kwargs": {"enable_thinking": False}}
_PROBE = [{"role": "user", "content": "x"}]

_read_decision = Reader(Decision, "answers")


class Decider:
    """Makes decisions on what a server has.

    Args:
        perform: makes a call.
        all_lack: tells whether no server has a route for an operation with a model, as far as is known.
    """

    def __init__(self, perform: Perform, all_lack: Callable[[str, str], bool]) -> None:
        self._perform = perform
        self._all_lack = all_lack
        self._letters: dict[str, list[int]] = {}

    async def decide(self, params: Mapping[str, object]) -> Decision:
        """Ask the questions."""
        body, options = _read(params)
        if body.get("joint") or not self._all_lack(_OPERATION, body["model"]):
            try:
                return await self._perform(_call(dict(body), options))
            except openai.APIStatusError as error:
                if error.status_code not in _MISSING:
                    raise
                if body.get("joint"):
                    raise UnsupportedOperationError(
                        _OPERATION,
                        f"joint=True needs vLLM >= 0.33 and a model that reads questions together: {error}",
                    ) from error
        if RAW_RESPONSE_HEADER in (options.get("headers") or {}):
            raise UnsupportedOperationError(_OPERATION, "several requests are one answer here: none is raw")
        return await self._by_letters(body, options)

    async def _by_letters(self, body: JsonObject, options: JsonObject) -> Decision:
        """Read each answer from the first token of a chat."""
        model, text = body["model"], text_of(body["input"])
        questions = body["questions"]
        wanted = max(len(options_of(question)) for question in questions)
        letters = await self._tokens_of_letters(model, wanted, options)
        salt = {"cache_salt": body["cache_salt"]} if "cache_salt" in body else {}
        answers, prompt_tokens, cached = [], 0, 0
        for question in questions:
            ids = letters[: len(options_of(question))]
            chat = await self._perform(
                chat_call(
                    _OPERATION,
                    {
                        "model": model,
                        "messages": [{"role": "user", "content": prompt_of(text, question)}],
                        "max_tokens": 1,
                        "temperature": 0,
                        "logprobs": True,
                        "logprob_token_ids": ids,
                        "return_tokens_as_token_ids": True,
                        **_PLAIN,
                        **salt,
                        **options,
                    },
                    read_chat,
                    names=None,
                )
            )
            answers.append(answer_of(question, _read_chat_letters(chat, ids)))
            if chat.usage is not None:
                prompt_tokens += chat.usage.prompt_tokens
                details = chat.usage.prompt_tokens_details
                cached += (details and details.cached_tokens) or 0
        usage = usage_of(prompt_tokens, len(questions), cached)
        return _read_decision(orjson.dumps({"model": model, "answers": answers, "usage": usage}))

    async def _tokens_of_letters(self, model: str, count: int, options: JsonObject) -> list[int]:
        """The tokens that the letters are as the first of an answer.

        Raises:
            UnsupportedOperationError: they are not one token each.
        """
        tokens = self._letters.setdefault(model, [])
        if len(tokens) >= count:
            return tokens
        shown = {"model": model, **options}
        rendered = await self._perform(tokenize_call({**shown, "messages": _PROBE, **_PLAIN}))
        prompt = (await self._perform(detokenize_call({**shown, "tokens": rendered.tokens}))).prompt
        for letter in LETTERS[len(tokens) : count]:
            call = tokenize_call({**shown, "prompt": prompt + letter, "add_special_tokens": False})
            *before, token = (await self._perform(call)).tokens
            if before != rendered.tokens or token in tokens:
                raise UnsupportedOperationError(
                    _OPERATION,
                    f"for the tokenizer of {model!r} the letter {letter!r} is not one token after a prompt",
                )
            tokens.append(token)
        return tokens


def _read(params: Mapping[str, object]) -> tuple[JsonObject, JsonObject]:
    body, options = read_params(_OPERATION, params, _KNOWN)
    if absent := [name for name in ("model", "input", "questions") if not body.get(name)]:
        raise TypeError(f"{_OPERATION}: pass {' and '.join(f'{name}=' for name in absent)}")
    for name in ("input", "questions"):
        if not isinstance(body[name], str):
            body[name] = list(body[name])
    return body, options


def _call(body: JsonObject, options: JsonObject) -> Call[Decision]:
    """Build the call of the two routes that decide."""
    questions = body["questions"]

    def older() -> bytes:
        return encode(structured_request(body), operation=_OPERATION)

    def read(reply: httpx.Response) -> Decision:
        if not reply.request.url.path.endswith(_OLDER_PATH):
            decision = _read_decision(reply.content)
            if len(decision.answers) != len(questions):
                raise NotAReply(f"{len(decision.answers)} answers to {len(questions)} questions")
            return decision
        return _read_structured(reply.content, questions)

    call = json_call(_OPERATION, (_PATH,), dict(body), options, _read_decision, falls_back=_is_missing)
    call = replace(call, read=None, read_reply=read)
    if body.get("joint"):
        return call
    # A chat may decide where neither can.
    return replace(call, variants=(*call.variants, Variant(_OLDER_PATH, older)), is_explained=False)


def _is_missing(variant: Variant, status: int, error: ErrorPayload) -> bool:
    return status in _MISSING


def _read_structured(content: bytes, questions: list[Mapping[str, Any]]) -> Decision:
    payload = read_object(content)
    try:
        reads = structured_reads(payload, questions)
        usage = usage_of(payload["usage"]["input_tokens"], payload["usage"]["output_tokens"])
        answers = list(map(answer_of, questions, reads))
    except (KeyError, TypeError, ValueError) as error:
        raise NotAReply(f"no answer to each question: {content[:200]!r}") from error
    return _read_decision(orjson.dumps({"model": payload.get("model"), "answers": answers, "usage": usage}))


def _read_chat_letters(chat: ChatCompletion, ids: list[int]) -> LabelRead:
    logprobs = chat.choices[0].logprobs
    if logprobs is None or not logprobs.content:
        raise UnsupportedOperationError(_OPERATION, "the server answers a chat without log-probabilities")
    first = logprobs.content[0]
    found = {first.token: first.logprob} | {one.token: one.logprob for one in first.top_logprobs}
    try:
        return read_letters([found[f"token_id:{id}"] for id in ids])
    except KeyError:
        raise UnsupportedOperationError(
            _OPERATION, "the server does not know logprob_token_ids: a newer vLLM does"
        ) from None


def _blocking(client: VLLM) -> Perform:
    async def perform(call: Call[T]) -> T:
        return client._perform(call)

    return perform


class Decisions(OwnResource):
    """`decisions.create`."""

    def __init__(self, client: VLLM) -> None:
        super().__init__(client)
        self._decider = Decider(_blocking(client), client._all_lack)

    def create(self, **params: Unpack[DecisionParams]) -> Decision:
        """Ask typed questions; the answers are probabilities.

        vLLM 0.33 answers itself, and so does 0.32 in other words. Elsewhere each answer is read from the
        first token of a chat, by the prompt that vLLM would use; it needs a chat model, and /tokenize.

        Args:
            params: see `DecisionParams`.

        Raises:
            UnsupportedOperationError: the server cannot, and why.
        """
        return run(self._decider.decide(params))


class AsyncDecisions(AsyncOwnResource):
    """`decisions.create`."""

    def __init__(self, client: AsyncVLLM) -> None:
        super().__init__(client)
        self._decider = Decider(client._perform, client._all_lack)

    async def create(self, **params: Unpack[DecisionParams]) -> Decision:
        """Ask typed questions; see `Decisions.create`."""
        return await self._decider.decide(params)
