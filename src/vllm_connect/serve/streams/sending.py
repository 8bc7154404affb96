"""A stream's way to the gateway's client: it ends as the server's does, or with an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ..http.errors import Refusal, refusal_of
from ..http.exchange import Exchange, Headers

DONE = b"data: [DONE]\n\n"

_STOPPING = Refusal(503, "the gateway was stopped before the answer was complete", code="gateway_stopping")


async def send_stream(
    exchange: Exchange,
    batches: AsyncIterator[bytes],
    *,
    end: bytes = DONE,
    typed: bool = False,
    headers: Headers = (),
) -> None:
    """Send a stream.

    Args:
        exchange: the request that it answers.
        batches: encoded events.
        end: what ends it when it is complete.
        typed: whether an error is an event of that name, in Anthropic's form.
        headers: of the reply, besides.

    Raises:
        Exception: of the stream, before its first event.
    """
    has_begun = False
    try:
        async for batch in batches:
            if not has_begun:
                await exchange.begin_events(headers)
                has_begun = True
            await exchange.send_events(batch)
        if not has_begun:
            await exchange.begin_events(headers)
        await exchange.end_events(end)
    except asyncio.CancelledError:
        if has_begun:
            exchange.failure = "cancelled"
            await exchange.end_events(error_event(_STOPPING, typed=typed))
        raise
    except Exception as error:
        refusal = refusal_of(error, exchange.operation)
        if not has_begun or refusal is None:
            raise
        exchange.failure, exchange.message = refusal.code or refusal.type, refusal.message
        await exchange.end_events(error_event(refusal, typed=typed))


def error_event(refusal: Refusal, *, typed: bool = False) -> bytes:
    """The event that ends a broken stream."""
    return b"%bdata: %b\n\n" % (b"event: error\n" if typed else b"", refusal.body(typed=typed))
