"""pytest-httpx: its fixture `httpx_mock`, in a pytest of its own."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest

from neighbours.scenario import HELLO, MODEL, Subject, scenario
from neighbours.tools.mocks import REPLY


class Session:
    """A plugin that carries the subject to a test, and its result back."""

    result: Any = None

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @pytest.fixture
    def session(self) -> Session:
        return self


TEST = """
def test_it(httpx_mock, session):
    session.run(httpx_mock)
"""


def under_pytest(subject: Subject, run: Any) -> Any:
    session = Session(subject)
    session.run = run  # type: ignore[attr-defined]
    with open("test_it.py", "w") as file:
        file.write(TEST)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(
            ["-q", "-p", "no:cacheprovider", "-p", "pytest_httpx", "test_it.py"], plugins=[session]
        )
    assert code == 0, said.getvalue()[-1500:]
    return len(subject.sim.requests)


@scenario("chat")
def chat(subject: Subject) -> Any:
    def run(httpx_mock: Any) -> None:
        httpx_mock.add_response(url=f"{subject.url}/v1/chat/completions", json=REPLY)
        reply = subject.client().chat.completions.create(model=MODEL, messages=HELLO)
        assert reply.choices[0].message.content == "mock"

    return under_pytest(subject, run)


@scenario("stream")
def stream(subject: Subject) -> Any:
    chunk = '{"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"content": "mock"}, "finish_reason": "stop"}]}'  # noqa: E501
    headers = {"content-type": "text/event-stream"}

    def run(httpx_mock: Any) -> None:
        httpx_mock.add_response(text=f"data: {chunk}\n\ndata: [DONE]\n\n", headers=headers)
        chunks = list(subject.client().chat.completions.create(model=MODEL, messages=HELLO, stream=True))
        assert chunks[0].choices[0].delta.content == "mock"

    return under_pytest(subject, run)
