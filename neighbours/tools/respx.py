"""respx: mocked routes of httpx."""

from __future__ import annotations

from typing import Any

import httpx
import respx

from neighbours.scenario import HELLO, MODEL, Subject, error_of, scenario
from neighbours.tools.mocks import REPLY


@scenario("chat")
def chat(subject: Subject) -> Any:
    with respx.mock() as mock:
        route = mock.post(f"{subject.url}/v1/chat/completions").mock(
            return_value=httpx.Response(200, json=REPLY)
        )
        reply = subject.client().chat.completions.create(model=MODEL, messages=HELLO)
        return reply.choices[0].message.content, route.call_count, len(subject.sim.requests)


@scenario("chat")
async def chat_async(subject: Subject) -> Any:
    with respx.mock() as mock:
        mock.post(f"{subject.url}/v1/chat/completions").mock(return_value=httpx.Response(200, json=REPLY))
        reply = await subject.async_client().chat.completions.create(model=MODEL, messages=HELLO)
        return reply.choices[0].message.content, len(subject.sim.requests)


@scenario("errors")
def unmocked(subject: Subject) -> Any:
    with respx.mock(assert_all_mocked=True):
        call = lambda: subject.client(max_retries=0).models.list()  # noqa: E731
        return error_of(call), len(subject.sim.requests)


@scenario("errors")
def retried(subject: Subject) -> Any:
    replies = [httpx.Response(503), httpx.Response(200, json=REPLY)]
    with respx.mock() as mock:
        route = mock.post(f"{subject.url}/v1/chat/completions").mock(side_effect=replies)
        subject.client().chat.completions.create(model=MODEL, messages=HELLO)
        return route.call_count, len(subject.sim.requests)
