"""The tokens of a reply that are its text.

The log probabilities of a chat completion cover whatever was generated: the reasoning and its tags,
the text, the end token. Those of a response belong to its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from openai.types.chat import ChatCompletionTokenLogprob
from openai.types.responses import response_output_text, response_text_delta_event, response_text_done_event

TokenLogprobs = Sequence[ChatCompletionTokenLogprob]


def logprobs_of(text: str, tokens: TokenLogprobs) -> TokenLogprobs:
    """Find the tokens that spell a text.

    Args:
        text: the text.
        tokens: tokens that were generated with it, in order.

    Returns:
        The tokens that it consists of; all of them if they do not spell it (with
        `return_tokens_as_token_ids`, say), as there is no telling then.
    """
    if not text or not tokens:
        return ()
    target = text.encode()
    spelled = [_bytes(token) for token in tokens]
    starts = [0, *accumulate(len(piece) for piece in spelled)]
    whole = b"".join(spelled)
    # The last place that begins with a token: the tag that ends the reasoning comes before the text.
    begin = next(
        (start for start in reversed(starts) if whole.startswith(target, start)), whole.rfind(target)
    )
    if begin < 0:
        return tokens
    end = begin + len(target)
    return [
        t for t, start, stop in zip(tokens, starts, starts[1:], strict=False) if start < end and stop > begin
    ]


def of_part(tokens: TokenLogprobs) -> list[response_output_text.Logprob]:
    """Log probabilities as an `output_text` part has them."""
    return [
        response_output_text.Logprob(
            token=token.token,
            bytes=list(_bytes(token)),
            logprob=token.logprob,
            top_logprobs=[
                response_output_text.LogprobTopLogprob(
                    token=top.token, bytes=list(_bytes(top)), logprob=top.logprob
                )
                for top in token.top_logprobs
            ],
        )
        for token in tokens
    ]


def of_delta(tokens: TokenLogprobs) -> list[response_text_delta_event.Logprob]:
    """Log probabilities as a delta of a text has them."""
    delta = response_text_delta_event
    return [
        delta.Logprob(
            token=token.token,
            logprob=token.logprob,
            top_logprobs=[
                delta.LogprobTopLogprob(token=t.token, logprob=t.logprob) for t in token.top_logprobs
            ],
        )
        for token in tokens
    ]


def of_done(part: Sequence[response_output_text.Logprob]) -> list[response_text_done_event.Logprob]:
    """Log probabilities of a part as the event that ends its text has them."""
    done = response_text_done_event
    return [
        done.Logprob(
            token=token.token,
            logprob=token.logprob,
            top_logprobs=[
                done.LogprobTopLogprob(token=t.token, logprob=t.logprob) for t in token.top_logprobs
            ],
        )
        for token in part
    ]


def _bytes(token: object) -> bytes:
    given = getattr(token, "bytes", None)
    return bytes(given) if given is not None else str(getattr(token, "token", "")).encode()
