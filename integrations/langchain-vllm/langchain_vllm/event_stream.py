"""The stream of `stream_events(version="v3")`, whose generation ends when nobody listens any more.

langchain-core's own `ChatModelStream` cannot be closed, and is part of a circle of references: left early, it
goes on generating until the garbage collector comes by. Here what a caller holds, the stream and its
projections, is outside of that circle and shares its state; the last of it to go ends the generation.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_model_stream import (
    ChatModelStream,
    SyncProjection,
    SyncTextProjection,
)
from langchain_core.outputs import LLMResult
from typing_extensions import Self

_RUN = "_vllm_run"
ViewT = TypeVar("ViewT", bound=SyncProjection)


class Run:
    """The generation behind a stream, once it has begun."""

    def __init__(self, stream: ChatModelStream) -> None:
        self._stream = stream
        self._events: Generator[Any] | None = None
        self._manager: CallbackManagerForLLMRun | None = None

    def begin(self, events: Iterator[Any], manager: CallbackManagerForLLMRun) -> None:
        """Take note of where its events come from."""
        self._events, self._manager = cast("Generator[Any]", events), manager

    def end(self) -> None:
        """End it where it is, if it has begun and is not over: the connection is closed."""
        events, self._events = self._events, None
        if events is None:
            return
        is_over = self._stream.done
        try:
            events.close()
        except ValueError:  # another thread reads just now, and goes on
            return
        if self._manager is not None and not is_over:
            left = GeneratorExit("the stream was left before its end")
            self._manager.on_llm_error(left, response=LLMResult(generations=[]))


def run_of(stream: ChatModelStream) -> Run | None:
    """The generation behind a stream of langchain-core's, if an `EventStream` was made of it."""
    return vars(stream).get(_RUN)


class _Lifetime:
    """The common part of all that a caller holds of a stream; when it goes, the generation ends."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __del__(self) -> None:
        self.run.end()


class EventStream(ChatModelStream):
    """A `ChatModelStream` that can be closed, and closes itself.

    with model.stream_events("Tell me a story.", version="v3") as stream:
        for piece in stream.text:
            if enough(piece):
                break
    """

    __slots__ = ("_lifetime", "_views")  # all else is in the __dict__ that it shares

    def __init__(self, stream: ChatModelStream) -> None:
        run = Run(stream)
        vars(stream)[_RUN] = run
        self.__dict__ = stream.__dict__
        self._lifetime = _Lifetime(run)
        self._views: WeakValueDictionary[str, Any] = WeakValueDictionary()

    @property
    def text(self) -> SyncTextProjection:
        """The text, as it comes; `str()` for all of it."""
        return self._view("text", _TextView(self._text_proj, self._lifetime))

    @property
    def reasoning(self) -> SyncTextProjection:
        """The reasoning, as `text`."""
        return self._view("reasoning", _TextView(self._reasoning_proj, self._lifetime))

    @property
    def tool_calls(self) -> SyncProjection:
        """Pieces of tool calls; `get()` for the whole ones."""
        return self._view("tool_calls", _View(self._tool_calls_proj, self._lifetime))

    def _view(self, name: str, fresh: ViewT) -> ViewT:
        """The projection that a caller holds already, or a fresh one."""
        held: ViewT = self._views.setdefault(name, fresh)
        return held

    def close(self) -> None:
        """End the generation; what came is still there, and further reading is an error."""
        if not self.done:
            self._lifetime.run.end()
            self.fail(RuntimeError("the stream was closed before its end"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _View(SyncProjection):
    """A projection, and a part in the stream's lifetime."""

    def __init__(self, projection: SyncProjection, lifetime: _Lifetime) -> None:
        super().__init__()
        self._projection, self._lifetime = projection, lifetime
        self._deltas = projection._deltas  # the very list

    @property
    def done(self) -> bool:
        """Tell whether it has come to its end."""
        return self._projection.done

    @property
    def error(self) -> BaseException | None:
        """The error that it failed with."""
        return self._projection.error

    def __iter__(self) -> Iterator[Any]:
        yield from self._projection

    def get(self) -> Any:
        """All of it."""
        return self._projection.get()

    def __repr__(self) -> str:
        return repr(self._projection)


class _TextView(_View, SyncTextProjection):
    """The same of a text."""
