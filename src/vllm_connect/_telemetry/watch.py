"""One call as a span and in metrics, from its beginning to the end of its answer."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from .._wire.decoding import loads
from .attributes import Answer, Attributes, messages_in, of_request, operation_name
from .providers import instruments

if TYPE_CHECKING:
    from .._calls.attempt import Attempt
    from .._calls.call import Call

T = TypeVar("T")

SUPPRESSED = "suppress_instrumentation"
"""The value of a context in which OpenTelemetry's own `suppress_instrumentation` lets nobody be told."""
_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
# What marks a span of a call, whoever writes it; and operations that make calls.
_OF_CALLS = ("gen_ai.request.model", "llm.model_name", "langfuse.observation.model.name", "request_data")
_AROUND_CALLS = frozenset({"invoke_agent", "create_agent", "execute_tool", "invoke_workflow"})
_CAPTURES = frozenset({"true", "span_only", "span_and_event"})


def watch(attempt: Attempt[Any], json_data: object, *, stream: bool) -> Watch | None:
    """Begin to watch a call, unless nobody is to be told; what asks a server about itself is none.

    Args:
        attempt: at the call; it is told, for who sends it and who reads its answer.
        json_data: the body of a request that was not made by one of our resources.
        stream: whether its answer is a stream.
    """
    if attempt.call.method != "post":
        return None
    from opentelemetry import context

    if context.get_value(SUPPRESSED):
        return None
    attempt.watch = Watch(attempt, json_data, stream=stream)
    return attempt.watch


class Watch:
    """A call that is watched; a context in which its span is the current one.

    It ends once: with its answer, with the end of its stream, with an error, or when it is dropped.
    """

    def __init__(self, attempt: Attempt[Any], json_data: object, *, stream: bool) -> None:
        from opentelemetry.trace import SpanKind

        call = attempt.call
        self._attempt = attempt
        self._stream = stream
        self._written = instruments()
        self._ended = False
        self._began = perf_counter()
        self._first: float | None = None
        self._about: Attributes = {
            "gen_ai.operation.name": (name := operation_name(call.operation)),
            "gen_ai.provider.name": "vllm",
        }
        if call.model is not None:
            self._about["gen_ai.request.model"] = call.model
        if (elsewhere := _told_elsewhere(call)) is not None:
            self._span: Any = elsewhere
        else:
            self._span = self._written.tracer.start_span(
                f"{name} {call.model}" if call.model else name, kind=SpanKind.CLIENT, attributes=self._about
            )
        with_content = False
        if self._span.is_recording():
            with_content = os.environ.get(_CAPTURE, "").lower() in _CAPTURES
            body = _body_of(call, json_data)
            attributes = of_request(body)
            if call.session is not None:
                attributes["gen_ai.conversation.id"] = call.session
            if stream:
                attributes["gen_ai.request.stream"] = True
            if with_content and (messages := messages_in(body)) is not None:
                attributes["gen_ai.input.messages"] = messages
            self._span.set_attributes(attributes)
        self._answer = Answer(with_content=with_content)

    def __enter__(self) -> Watch:
        from opentelemetry.trace import use_span

        self._scope = use_span(self._span, record_exception=False, set_status_on_exception=False)
        self._scope.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._scope.__exit__(None, None, None)
        if error is not None:
            self.end(error)

    def __del__(self) -> None:
        self.end()

    def inject(self, headers: Any) -> None:
        """Put the trace into the headers of a request, unless its caller did."""
        from opentelemetry.propagate import inject
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        inject(carrier, context=set_span_in_context(self._span))
        for name, value in carrier.items():
            headers.setdefault(name, value)

    def answered(self, reply: T) -> T:
        """Take what the call returns; a stream is watched on."""
        if not self._stream:
            self._answer.note(reply)
            self.end()
        return reply

    def chunks(self, chunks: Iterator[T]) -> Iterator[T]:
        """Watch a stream."""
        try:
            for chunk in chunks:
                self._note(chunk)
                yield chunk
        except GeneratorExit:
            self.end()
            raise
        except BaseException as error:
            self.end(error)
            raise
        self.end()

    async def achunks(self, chunks: AsyncIterator[T]) -> AsyncIterator[T]:
        """Watch a stream; see `chunks`."""
        try:
            async for chunk in chunks:
                self._note(chunk)
                yield chunk
        except GeneratorExit:
            self.end()
            raise
        except BaseException as error:
            self.end(error)
            raise
        self.end()

    def _note(self, chunk: object) -> None:
        if self._first is None:
            self._first = perf_counter() - self._began
        self._answer.note(chunk)

    def end(self, error: BaseException | None = None) -> None:
        """End it; what comes later changes nothing."""
        if self._ended:
            return
        self._ended = True
        about, span = self._about, self._span
        about |= self._where()
        reply_attributes = self._answer.finish()
        if (model := reply_attributes.get("gen_ai.response.model")) is not None:
            about["gen_ai.response.model"] = model
        if error is not None:
            from opentelemetry.trace import Status, StatusCode

            about["error.type"] = str(getattr(error, "status_code", None) or type(error).__name__)
            # Without the message, which may quote the prompt.
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        if self._first is not None:
            reply_attributes["gen_ai.response.time_to_first_chunk"] = self._first
        span.set_attributes({**about, **reply_attributes, **self._way()})
        self._measure(about)
        span.end()
        self._attempt.watch = None  # which is the end of a cycle, too

    def _measure(self, about: Attributes) -> None:
        written, answer = self._written, self._answer
        written.duration.record(perf_counter() - self._began, about)
        if self._first is not None:
            written.first_chunk.record(self._first, about)
        for kind, count in (("input", answer.input_tokens), ("output", answer.output_tokens)):
            if count is not None:
                written.tokens.record(count, {**about, "gen_ai.token.type": kind})

    def _where(self) -> Attributes:
        server = self._attempt.server
        if server is None:
            return {}
        url = urlsplit(server.root)
        if url.scheme == "unix":
            return {"server.address": server.address.removeprefix("unix://")}
        port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
        return {"server.address": url.hostname or "", "server.port": port}

    def _way(self) -> Attributes:
        attempt = self._attempt
        way: Attributes = {"vllm_connect.attempts": attempt.places}
        if attempt.server is not None:
            way["vllm_connect.key.name"] = attempt.server.key.name
        return way


def _told_elsewhere(call: Call[Any]) -> Any:
    """The span in whose place another tool tells of this very call, as one that takes nothing; else None.

    Tracers of the SDK (Logfire, Langfuse, OpenInference) replace its methods and write to the same provider:
    a second span would count a call's tokens twice. The trace goes on from theirs.
    """
    from opentelemetry.trace import NonRecordingSpan, get_current_span

    span = get_current_span()
    if call.is_shown:
        return NonRecordingSpan(span.get_span_context())
    attributes = getattr(getattr(span, "span", span), "attributes", None)  # Logfire wraps the SDK's
    if not attributes or attributes.get("gen_ai.operation.name") in _AROUND_CALLS:
        return None
    if any(name in attributes for name in _OF_CALLS):
        return NonRecordingSpan(span.get_span_context())
    return None


def _body_of(call: Call[Any], json_data: object) -> Mapping[str, Any]:
    """The parameters of a call, as far as they can be read."""
    if call.form is not None:
        return call.form
    body: object = call.variants[0].body if call.variants else None
    if callable(body):
        body = body()
    read = loads(body) if isinstance(body, bytes) else json_data
    return read if isinstance(read, dict) else {}
