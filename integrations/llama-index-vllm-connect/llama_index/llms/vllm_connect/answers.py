"""vLLM's answers in, LlamaIndex's responses out: whole ones, and streams chunk by chunk."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
)

from llama_index_vllm_connect.content import Json
from vllm_connect.adapters import ToolCalls, describe_cut, describe_empty, whole_calls
from vllm_connect.types import ChatCompletion, ChatCompletionChunk, Completion, CompletionUsage

from .tools import call_block, listed_calls

_logger = logging.getLogger(__name__)


def chat_response(completion: ChatCompletion) -> ChatResponse:
    """A chat completion as a response: its first choice; `raw` is all of it, as plain data."""
    choice = completion.choices[0]
    usage = completion.usage
    calls = listed_calls(whole_calls(choice.message.tool_calls))
    facts = _facts(usage, choice.finish_reason, choice.stop_reason)
    if calls:
        facts.setdefault("finish_reason", None)  # it is finished: see `selections`
    text, reasoning = choice.message.content, choice.message.reasoning
    warn_of_ending(choice.finish_reason, text or calls, reasoning)
    return ChatResponse(
        message=assistant_message(reasoning, text, calls, _reasoning_tokens(usage)),
        raw=completion.model_dump(warnings=False),
        logprobs=_logprobs(choice.logprobs),
        additional_kwargs=facts,
    )


def completion_response(completion: Completion) -> CompletionResponse:
    """A text completion as a response; see `chat_response`."""
    choice = completion.choices[0]
    warn_of_ending(choice.finish_reason, choice.text)
    return CompletionResponse(
        text=choice.text,
        raw=completion.model_dump(warnings=False),
        logprobs=_text_logprobs(choice.logprobs),
        additional_kwargs=_facts(completion.usage, choice.finish_reason, choice.stop_reason),
    )


def as_completion(response: ChatResponse) -> CompletionResponse:
    """Return a chat's answer to a prompt as a completion."""
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
    )


def as_chat(response: CompletionResponse) -> ChatResponse:
    """Return the text that continued a written-out conversation as a chat's answer."""
    return ChatResponse(
        message=ChatMessage(role=MessageRole.ASSISTANT, content=response.text),
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs=response.additional_kwargs,
    )


class ChatSoFar:
    """A streamed chat completion: chunks in, responses with everything so far out."""

    def __init__(self) -> None:
        self._text = ""
        self._reasoning = ""
        self._calls = ToolCalls()
        self._last: ChatResponse | None = None
        self._finish_reason: str | None = None
        self._stop_reason: int | str | None = None

    def feed(self, chunk: ChatCompletionChunk) -> ChatResponse | None:
        """The response so far; None if the chunk adds nothing."""
        choice = _first_of(chunk)
        if choice is None:
            return self._response(chunk, None, "", None) if chunk.usage else None
        delta = choice.delta
        text, thought = delta.content or "", delta.reasoning
        if delta.tool_calls:
            self._calls.feed(delta.tool_calls)
        elif not (text or thought or choice.finish_reason or choice.logprobs):
            return None
        self._text += text
        if thought:
            self._reasoning += thought
        if choice.finish_reason and not self._finish_reason:
            self._finish_reason, self._stop_reason = choice.finish_reason, choice.stop_reason
            warn_of_ending(choice.finish_reason, self._text or self._calls, self._reasoning)
        self._last = self._response(chunk, choice, text, thought)
        return self._last

    def finish(self) -> ChatResponse | None:
        """The last response of an answer with tool calls that nobody said the end of."""
        if self._finish_reason or not self._calls or self._last is None:
            return None
        facts = {**self._last.additional_kwargs, "finish_reason": None}
        return self._last.model_copy(update={"delta": "", "additional_kwargs": facts})

    def _response(
        self, chunk: ChatCompletionChunk, choice: Any, text: str, thought: str | None
    ) -> ChatResponse:
        calls = listed_calls(self._calls.calls)
        facts = _facts(chunk.usage, self._finish_reason, self._stop_reason)
        if thought:
            facts["thinking_delta"] = thought
        return ChatResponse(
            message=assistant_message(self._reasoning, self._text, calls, _reasoning_tokens(chunk.usage)),
            delta=text,
            raw=chunk.model_dump(warnings=False),
            logprobs=_logprobs(choice.logprobs) if choice and choice.logprobs else None,
            additional_kwargs=facts,
        )


class TextSoFar:
    """A streamed text completion: chunks in, responses with everything so far out."""

    def __init__(self) -> None:
        self._text = ""
        self._finish_reason: str | None = None
        self._stop_reason: int | str | None = None

    def feed(self, chunk: Completion) -> CompletionResponse | None:
        """The response so far; None if the chunk adds nothing."""
        choice = _first_of(chunk)
        if choice is None and chunk.usage is None:
            return None
        delta = choice.text if choice else ""
        self._text += delta
        if choice and choice.finish_reason:
            self._finish_reason, self._stop_reason = choice.finish_reason, choice.stop_reason
            warn_of_ending(choice.finish_reason, self._text)
        return CompletionResponse(
            text=self._text,
            delta=delta,
            raw=chunk.model_dump(warnings=False),
            logprobs=_text_logprobs(choice.logprobs) if choice else None,
            additional_kwargs=_facts(chunk.usage, self._finish_reason, self._stop_reason),
        )


def warn_of_ending(finish_reason: str | None, answer: object, reasoning: str | None = None) -> None:
    """Warn of an answer that is empty or not whole, unless max_tokens cut a text, which can be seen."""
    if not answer:
        if why := describe_empty(finish_reason, bool(reasoning)):
            _logger.warning(why)
    elif finish_reason not in (None, "length") and (cut := describe_cut(finish_reason)):
        _logger.warning("The answer is not whole: %s", cut)


def _first_of(reply: Any) -> Any:
    return next((choice for choice in reply.choices if not choice.index), None)


def assistant_message(
    reasoning: str | None, text: str | None, calls: list[Json], reasoning_tokens: int | None
) -> ChatMessage:
    """An assistant's message: one block of thinking, one of text, one for each call."""
    blocks: list[Any] = []
    if reasoning:
        blocks.append(ThinkingBlock(content=reasoning, num_tokens=reasoning_tokens))
    if text or not calls:
        blocks.append(TextBlock(text=text or ""))
    if not calls:
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)
    blocks += map(call_block, calls)
    # Core recognises streamed structured outputs, and chat engines their calls, by these.
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs={"tool_calls": calls})


def _reasoning_tokens(usage: CompletionUsage | None) -> int | None:
    details = usage and usage.completion_tokens_details
    return details.reasoning_tokens if details else None


def _facts(usage: CompletionUsage | None, finish_reason: str | None, stop_reason: int | str | None) -> Json:
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) if usage else None
    return answer_facts(counts, finish_reason, stop_reason)


def answer_facts(
    counts: tuple[int, int, int] | None, finish_reason: str | None, stop_reason: int | str | None
) -> Json:
    """The facts of an answer: its ending, and its tokens.

    Args:
        counts: the tokens of the prompt, of the answer, and both together; None where they are not known.
        finish_reason: as chat completions call it.
        stop_reason: the stop string or token that ended it.
    """
    facts: Json = {}
    if counts:
        facts = dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), counts, strict=True))
    if finish_reason:
        facts["finish_reason"] = finish_reason
    if stop_reason is not None:
        facts["stop_reason"] = stop_reason
    return facts


def _logprobs(logprobs: Any) -> list[list[LogProb]] | None:
    return None if logprobs is None or logprobs.content is None else token_logprobs(logprobs.content)


def token_logprobs(tokens: Iterable[Any]) -> list[list[LogProb]]:
    """For each token the likeliest ones, or itself if no alternatives were asked for."""
    return [
        [
            LogProb(token=each.token, logprob=each.logprob, bytes=each.bytes or [])
            for each in (token.top_logprobs or [token])
        ]
        for token in tokens
    ]


def _text_logprobs(logprobs: Any) -> list[list[LogProb]] | None:
    """The same from /v1/completions, which tells them otherwise."""
    if logprobs is None or not logprobs.tokens:
        return None
    tops = logprobs.top_logprobs or [None] * len(logprobs.tokens)
    read = []
    for token, own, top in zip(logprobs.tokens, logprobs.token_logprobs, tops, strict=False):
        told = top or {token: own}
        read.append(
            [
                LogProb(token=text, logprob=value, bytes=list(text.encode()))
                for text, value in told.items()
                if value is not None
            ]
        )
    return read
