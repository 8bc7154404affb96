"""Generated tokens read back: what was thought, said and called, as reasoning and tool parsers tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .generation import Generation, Token
from .tokens import END_OF_TURN, END_THINK, END_TOOL_CALL, THINK, TOOL_CALL, decode, encode, token_text

_HEAD, _MIDDLE, _TAIL = (encode(mark) for mark in ('\n{"name": "', '", "arguments": ', "}\n"))


def read_tokens(
    tokens: Sequence[int], finish_reason: str, stop_reason: int | str | None, *, thinks: bool, calls: bool
) -> Generation:
    """The generation that tokens are.

    Args:
        tokens: those that were generated.
        finish_reason: why they ended.
        stop_reason: what ended them.
        thinks: whether they begin with reasoning, which ends with its mark.
        calls: whether there may be calls among them, which are text otherwise.
    """
    read: list[Token] = []
    called: list[str] = []
    rest = list(tokens)
    if thinks:
        end = rest.index(END_THINK) if END_THINK in rest else len(rest)
        begun = int(THINK in rest[:1])
        read += map(_mark, rest[:begun])
        read += [_token(token, "reasoning") for token in rest[begun:end]]
        read += map(_mark, rest[end : end + 1])
        rest = rest[end + 1 :]
    while rest:
        if rest[0] == TOOL_CALL and calls:
            end = rest.index(END_TOOL_CALL) + 1 if END_TOOL_CALL in rest else len(rest)
            call = list(_call(rest[:end], len(called)))
            called.append("".join(token.text for token in call if token.channel == "name"))
            read += call
            rest = rest[end:]
        else:
            read.append(_mark(rest[0]) if rest[0] == END_OF_TURN else _token(rest[0], "content"))
            rest = rest[1:]
    return Generation(read, finish_reason, stop_reason, called)


def _call(tokens: Sequence[int], number: int) -> Iterator[Token]:
    """The tokens of one call, which may be cut off anywhere."""
    yield _mark(tokens[0])
    body = list(tokens[1:-1] if tokens[-1] == END_TOOL_CALL else tokens[1:])
    yield from map(_mark, body[: len(_HEAD)])
    body = body[len(_HEAD) :]
    at = _find(body, _MIDDLE)
    yield from (_token(token, "name", number) for token in body[:at])
    yield from map(_mark, body[at : at + len(_MIDDLE)])
    body = body[at + len(_MIDDLE) :]
    closed = tokens[-1] == END_TOOL_CALL
    end = len(body) - len(_TAIL) if closed else len(body) - _begun(body, _TAIL)
    yield from (_token(token, "arguments", number) for token in body[:end])
    yield from map(_mark, body[end:])
    if closed:
        yield _mark(tokens[-1])


def _find(tokens: Sequence[int], wanted: Sequence[int]) -> int:
    """The place where a sequence begins, or as much of it as there is at the end."""
    for at in range(len(tokens)):
        if tokens[at : at + len(wanted)] == wanted[: len(tokens) - at]:
            return at
    return len(tokens)


def _begun(tokens: Sequence[int], wanted: Sequence[int]) -> int:
    """The number of tokens of a sequence that there are at the end already."""
    counts = range(min(len(tokens), len(wanted)), 0, -1)
    return next((count for count in counts if tokens[-count:] == wanted[:count]), 0)


def _token(token: int, channel: str, call: int = 0) -> Token:
    text = token_text(token)
    return Token(token, text, channel, text, call)  # type: ignore[arg-type]


def _mark(token: int) -> Token:
    return Token(token, decode([token]), "mark")
