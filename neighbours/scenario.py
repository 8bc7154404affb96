"""A scenario: one thing that a tool does, done once with the stock client and once with ours.

A scenario is a function, sync or async, that takes a `Subject` and returns what a user of the tool can see,
in values that JSON knows and that do not change from run to run. It knows nothing of which client it has.
"""

from __future__ import annotations

import inspect
import json
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import openai

if TYPE_CHECKING:
    from vllm_connect.sim import SimServer

MODEL = "sim-chat"
HELLO = [{"role": "user", "content": "Think: I say it.\nSay: hello there"}]
WEATHER = "What is the weather in Paris?"
GET_WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

Column = Literal["chat", "stream", "tools", "structured", "embeddings", "responses", "errors", "own"]


@dataclass
class Subject:
    """What a scenario works with: a client of one kind, made as often as it likes, and the simulated server.

    Attributes:
        kind: `stock` for the openai SDK's client, `ours` for `VLLM`.
        url: The server, without `/v1`; `sim.url`, unless something stands before the simulator.
        sim: The server, with the requests that reached it since the scenario began.
    """

    kind: Literal["stock", "ours"]
    url: str
    sim: SimServer

    def client(self, **arguments: Any) -> openai.OpenAI:
        """Make a sync client."""
        arguments = self._marked(arguments)
        if self.kind == "stock":
            return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", **arguments)
        from vllm_connect import VLLM

        return VLLM(self.url, **arguments)

    def async_client(self, **arguments: Any) -> openai.AsyncOpenAI:
        """Make an async client."""
        arguments = self._marked(arguments)
        if self.kind == "stock":
            return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", **arguments)
        from vllm_connect import AsyncVLLM

        return AsyncVLLM(self.url, **arguments)

    def _marked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a client whose requests tell which one made them."""
        return {**arguments, "default_headers": {MARK: self.kind, **arguments.get("default_headers", {})}}

    def strangers(self) -> list[str]:
        """Return what another client than the subject's asked; tools may look around by GET."""
        return [
            f"{request.method} {request.path} of {request.headers.get('user-agent')!r}"
            for request in self.sim.requests
            if request.method == "POST"
            and self.kind not in {request.headers.get(MARK), maker_of(request.headers)}
        ]

    def sent(self, path: str = "/v1/chat/completions") -> list[Any]:
        """Return the bodies of the requests that reached the server at this path, oldest first."""
        return [request.json for request in self.sim.requests if request.path == path]

    def reasoning_sent_back(self) -> list[str | None]:
        """Return the reasoning of each assistant message of the last chat request, as vLLM reads it."""
        messages = self.sent()[-1]["messages"]
        return [each.get("reasoning") for each in messages if each["role"] == "assistant"]


MARK = "x-neighbour"


def maker_of(headers: Mapping[str, str]) -> str | None:
    """Return which client a request's own headers tell of: the SDK's say what machine it runs on."""
    if "x-stainless-lang" in headers:
        return "stock"
    return "ours" if headers.get("user-agent", "").startswith("vllm-connect") else None


Run = Callable[[Subject], Any]
AnyRun = TypeVar("AnyRun", bound=Run)


@dataclass(frozen=True)
class Scenario:
    """A scenario under the name of its function, in the column of the matrix where it counts."""

    name: str
    column: Column
    run: Run


def scenario(column: Column) -> Callable[[AnyRun], AnyRun]:
    """Declare a scenario; its module's scenarios run in the order in which they stand there."""

    def declare(run: AnyRun) -> AnyRun:
        run.column = column  # type: ignore[attr-defined]  # read by `scenarios_of`
        return run

    return declare


def scenarios_of(module: Any) -> list[Scenario]:
    """Return the scenarios that a module declares, and those of its list `SCENARIOS`."""
    found = [each for each in vars(module).values() if inspect.isfunction(each) and hasattr(each, "column")]
    declared = [Scenario(each.__name__, each.column, each) for each in found]
    return declared + getattr(module, "SCENARIOS", [])


def error_of(call: Callable[[], Any]) -> str:
    """Return the class that the call raises, see `class_of`; that it raises nothing is an error itself."""
    try:
        answer = call()
    except Exception as error:  # noqa: BLE001  # whatever the tool makes of it is what is compared
        return class_of(error)
    raise AssertionError(f"nothing was raised, and this came back: {answer!r}")


async def async_error_of(answer: Awaitable[Any]) -> str:
    """Return the class that awaiting this raises, see `class_of`."""
    try:
        result = await answer
    except Exception as error:  # noqa: BLE001
        return class_of(error)
    raise AssertionError(f"nothing was raised, and this came back: {result!r}")


def class_of(error: BaseException) -> str:
    """Name the class of an error as `except` clauses see it: ours count as the SDK's they derive from."""
    return next(
        each.__name__ for each in type(error).__mro__ if not each.__module__.startswith("vllm_connect")
    )


def comparable(value: Any) -> Any:
    """Return what JSON makes of a value, so that both sides compare alike."""
    return json.loads(json.dumps(value, default=_plain, sort_keys=True))


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump() if dump else f"<{type(value).__name__}>"


def trace_of(error: BaseException) -> str:
    """Return the last lines of a traceback, for whoever has to mend it."""
    return "".join(traceback.format_exception(error)[-8:])
