"""Log probabilities: made up, but always the same for the same token, and in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .tokens import encode, token_text

_ALTERNATIVES = encode(" the a of and to in is it that was for on are as with his they at be this")


def logprob(token: int, rank: int = 0) -> float:
    """The log probability of a token; further down the ranks it is smaller."""
    return -((token * 2654435761 % 997) / 9970.0 + rank * 1.25 + 0.001)


def top(token: int, count: int) -> list[tuple[int, float]]:
    """A token and its likeliest alternatives, the token first."""
    others = [other for other in _ALTERNATIVES if other != token][: max(count - 1, 0)]
    ranked = [token, *others][: max(count, 0)]
    return [(other, logprob(token, rank)) for rank, other in enumerate(ranked)]


def chat_entry(
    token: int, count: int, as_ids: bool, alternatives: Sequence[int] | None = None
) -> dict[str, Any]:
    """One token in the `logprobs.content` of a chat completion.

    Args:
        token: its id.
        count: how many alternatives to tell.
        as_ids: whether tokens are told by their ids.
        alternatives: those to tell, in this order, instead of the likeliest.
    """
    others = top(token, count)
    if alternatives:
        others = [(token, logprob(token))]
        others += [(other, logprob(other, 1)) for other in alternatives if other != token]
    ranked = [_entry(other, value, as_ids) for other, value in others]
    return {**_entry(token, logprob(token), as_ids), "top_logprobs": ranked}


def _entry(token: int, value: float, as_ids: bool) -> dict[str, Any]:
    text = token_text(token)
    shown = f"token_id:{token}" if as_ids else text
    return {"token": shown, "logprob": value, "bytes": list(text.encode())}


def prompt_entries(tokens: Sequence[int], count: int) -> list[dict[str, Any] | None]:
    """The `prompt_logprobs` of a prompt: nothing is known of its first token."""
    return [None if i == 0 else _ranked(token, count) for i, token in enumerate(tokens)]


def _ranked(token: int, count: int) -> dict[str, Any]:
    return {
        str(other): {"logprob": value, "rank": rank, "decoded_token": token_text(other)}
        for rank, (other, value) in enumerate(top(token, max(count, 1)), 1)
    }


def completion_logprobs(
    tokens: Sequence[int], count: int, as_ids: bool, offset: int = 0, first_unknown: bool = False
) -> dict[str, Any]:
    """The `logprobs` of a text completion.

    Args:
        tokens: the tokens of the text.
        count: how many alternatives to tell.
        as_ids: whether tokens are told by their ids.
        offset: where in the whole text the first token begins.
        first_unknown: whether the first token is a prompt's first, of which nothing is known.
    """
    offsets, values, texts, tops = [], [], [], []
    for i, token in enumerate(tokens):
        text = token_text(token)
        unknown = first_unknown and i == 0
        offsets.append(offset)
        texts.append(f"token_id:{token}" if as_ids else text)
        values.append(None if unknown else logprob(token))
        tops.append(None if unknown else {token_text(other): value for other, value in top(token, count)})
        offset += len(text)
    return {"text_offset": offsets, "token_logprobs": values, "tokens": texts, "top_logprobs": tops}
