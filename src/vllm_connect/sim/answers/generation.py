"""An answer becomes tokens: one after the other, each in its channel, until something ends them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..requests.sampling import Sampling
from .answer import Answer, Call
from .tokens import END_OF_TURN, END_THINK, END_TOOL_CALL, THINK, TOOL_CALL, piece_id, pieces

Channel = Literal["reasoning", "content", "name", "arguments", "mark"]


class Token(NamedTuple):
    """One generated token.

    `text` is what it shows, `raw` what it is; they differ where a stop string cuts a token, and for
    the marks around reasoning and tool calls. `call` counts the tool calls.
    """

    id: int
    raw: str
    channel: Channel
    text: str = ""
    call: int = 0

    @property
    def ids(self) -> list[int]:
        """Its id; nothing, if it is the end of an answer that was aborted."""
        return [] if self.id < 0 else [self.id]


_ABORTED = Token(-1, "", "mark")


class Step(NamedTuple):
    """A token, the one after it, and whether there is none."""

    token: Token
    following: Token | None
    ended: bool


@dataclass(eq=False)
class Generation:
    """Everything that was generated for one choice."""

    tokens: list[Token]
    finish_reason: str
    stop_reason: int | str | None = None
    called: list[str] = field(default_factory=list)
    aborted: bool = False

    def steps(self) -> Iterator[Step]:
        """The tokens one by one; when it is aborted, an empty one ends it."""
        at = 0
        while at < len(self.tokens) or self.aborted:
            if self.aborted:
                self.cut(at)
                yield Step(_ABORTED, None, True)
                return
            at += 1
            following = self.tokens[at] if at < len(self.tokens) else None
            yield Step(self.tokens[at - 1], following, following is None)
            if following is None:
                return

    def abort(self) -> None:
        """Let a stream of it end at its next token."""
        self.aborted = True

    def cut(self, length: int) -> None:
        """Forget the tokens from there on, and end as aborted."""
        del self.tokens[length:]
        self.finish_reason, self.stop_reason = "abort", None

    def text(self, channel: Channel, call: int = 0) -> str:
        """Return what was written to one channel."""
        return "".join(token.text for token in self.tokens if token.channel == channel and token.call == call)

    @property
    def reasoning_tokens(self) -> int:
        """The number of tokens that were thought."""
        return sum(token.channel == "reasoning" for token in self.tokens)

    @property
    def thought_only(self) -> bool:
        """True if it ended before the thinking did."""
        ids = {token.id for token in self.tokens if token.channel == "mark"}
        return THINK in ids and END_THINK not in ids

    @property
    def calls_complete(self) -> bool:
        """True if there are tool calls, the last one with its end."""
        closed = sum(token.channel == "mark" and token.id == END_TOOL_CALL for token in self.tokens)
        return bool(self.called) and closed == len(self.called)

    @property
    def raw_calls(self) -> str:
        """The tool calls as the model wrote them, with everything around."""
        first = next((i for i, token in enumerate(self.tokens) if _opens_call(token)), len(self.tokens))
        return "".join(token.raw for token in self.tokens[first:] if token.id != END_OF_TURN)


def generate(answer: Answer, sampling: Sampling, *, thinking: bool, room: int, forced: bool) -> Generation:
    """Write an answer down, token by token.

    Args:
        answer: what is to be said.
        sampling: when to stop.
        thinking: whether the reasoning comes before.
        room: how many tokens the context still has.
        forced: whether the call is the request's choice, which a client hears of as "stop".

    Returns:
        The tokens, up to where a limit, a stop string or the end of the answer ended them.
    """
    tokens = list(_written(answer, thinking, getattr(sampling, "thinking_token_budget", None)))
    limit = min(room, sampling.max_tokens if sampling.max_tokens is not None else room)
    if sampling.ignore_eos or len(tokens) < sampling.min_tokens:
        tokens = _prolonged(
            tokens, limit if sampling.ignore_eos else min(limit, sampling.min_tokens), sampling
        )
    calls = [] if answer.plain else answer.calls
    generation = Generation([], "tool_calls" if calls and not forced else "stop")
    generation.called = [call.name for call in calls]
    stops, text = sampling.stops, ""
    for count, token in enumerate(tokens, 1):
        generation.tokens.append(token)
        if token.id in (sampling.stop_token_ids or ()) and count > sampling.min_tokens:
            if not sampling.include_stop_str_in_output:
                generation.tokens[-1] = token._replace(text="")
            return _ended(generation, "stop", token.id)
        if stops and token.channel in ("reasoning", "content"):
            before = len(text)
            text += token.text
            if count >= sampling.min_tokens and (hit := _first_stop(text, before, stops)):
                at, stop = hit
                end = at + len(stop) if sampling.include_stop_str_in_output else at
                generation.tokens = _cut(generation.tokens, end)
                return _ended(generation, "stop", stop)
        if count >= limit and token.id != END_OF_TURN:
            return _ended(generation, "length", None)
    return generation


def _opens_call(token: Token) -> bool:
    return token.channel == "mark" and token.id == TOOL_CALL


def _written(answer: Answer, thinking: bool, budget: int | None) -> Iterator[Token]:
    if thinking:
        yield Token(THINK, "<think>", "mark")
        thought = _tokens(answer.reasoning, "reasoning")
        yield from itertools.islice(thought, budget if budget is not None and budget >= 0 else None)
        yield Token(END_THINK, "</think>", "mark")
    yield from _tokens(answer.content or "", "content")
    for i, call in enumerate(answer.calls):
        for token in _called(call, i):
            yield token._replace(channel="content", text=token.raw) if answer.plain else token
    yield Token(END_OF_TURN, "<|im_end|>", "mark")


def _called(call: Call, number: int) -> Iterator[Token]:
    yield Token(TOOL_CALL, "<tool_call>", "mark")
    yield from _marks('\n{"name": "')
    yield from _tokens(call.name, "name", number)
    yield from _marks('", "arguments": ')
    yield from _tokens(call.arguments, "arguments", number)
    yield from _marks("}\n")
    yield Token(END_TOOL_CALL, "</tool_call>", "mark")


def _tokens(text: str, channel: Channel, call: int = 0) -> Iterator[Token]:
    for piece in pieces(text):
        yield Token(piece_id(piece), piece, channel, piece, call)


def _marks(text: str) -> Iterator[Token]:
    for piece in pieces(text):
        yield Token(piece_id(piece), piece, "mark")


def _prolonged(tokens: Sequence[Token], length: int, sampling: Sampling) -> list[Token]:
    """Say it again and again, until there are enough tokens."""
    body = list(tokens[:-1])
    again = [token for token in body if token.channel == "content"] or list(_tokens(" and", "content"))
    first = again[0]
    if not first.raw.startswith((" ", "\n")):
        again = [*_tokens(" ", "content"), *again]
    if not any(token.channel == "name" for token in body):
        body += itertools.islice(itertools.cycle(again), max(0, length - len(body)))
    return body if sampling.ignore_eos else [*body, tokens[-1]]


def _first_stop(text: str, new_from: int, stops: Sequence[str]) -> tuple[int, str] | None:
    """Return where the first stop string begins that the newest token completed."""
    hits = [(at, stop) for stop in stops if (at := text.find(stop, max(0, new_from - len(stop) + 1))) != -1]
    return min(hits, key=lambda hit: hit[0]) if hits else None


def _cut(tokens: Sequence[Token], length: int) -> list[Token]:
    """The same tokens, showing no more than the first characters of their text."""
    cut = []
    for token in tokens:
        if token.channel in ("reasoning", "content"):
            token = token._replace(text=token.text[: max(length, 0)])
            length -= len(token.raw)
        cut.append(token)
    return cut


def _ended(generation: Generation, reason: str, stop: int | str | None) -> Generation:
    generation.finish_reason, generation.stop_reason = reason, stop
    return generation


def ids(tokens: Iterable[Token]) -> list[int]:
    """The ids of tokens."""
    return [token.id for token in tokens]
