"""The client's answers as LiteLLM's types, whole and streamed.

`reasoning` becomes LiteLLM's `reasoning_content`. An answer that the server aborted is an error: LiteLLM
knows no such `finish_reason` and would call it "stop".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from litellm.types.rerank import RerankResponse as LiteLLMRerankResponse
from litellm.types.utils import (
    EmbeddingResponse,
    ModelResponse,
    ModelResponseStream,
    TextCompletionResponse,
    TranscriptionResponse,
)

from vllm_connect.types import RerankResponse

from .errors import PROVIDER, aborted
from .requests import Json

_ABORTS = ("abort", "error")
_ALSO = {"repetition": "length"}  # what LiteLLM lacks a word for


R = TypeVar("R", bound="ModelResponse | TextCompletionResponse | EmbeddingResponse")


class Dumped(Protocol):
    """A type of the client."""

    def model_dump(self, *, exclude_none: bool = False) -> Json:
        """As plain data."""


def chat_response(reply: Dumped, model: str) -> ModelResponse:
    """A chat completion."""
    data = reply.model_dump(exclude_none=True)
    for choice in _choices(data):
        _end(choice, model)
        _rename_reasoning(choice.get("message"))
    return _of_provider(ModelResponse(**data))


def text_response(reply: Dumped, model: str) -> TextCompletionResponse:
    """A text completion."""
    data = reply.model_dump(exclude_none=True)
    for choice in _choices(data):
        _end(choice, model)
    return _of_provider(TextCompletionResponse(**data))


def embedding_response(reply: Dumped) -> EmbeddingResponse:
    """Embeddings."""
    return _of_provider(EmbeddingResponse(**reply.model_dump(exclude_none=True)))


def rerank_response(reply: RerankResponse) -> LiteLLMRerankResponse:
    """Ranked documents, as `litellm.rerank` answers."""
    results = []
    for result in reply.results:
        ranked: Json = {"index": result.index, "relevance_score": result.relevance_score}
        if (document := result.document) is not None:
            ranked["document"] = {"text": document} if isinstance(document, str) else document
        results.append(ranked)
    tokens = reply.usage.total_tokens if reply.usage else None
    meta = {"billed_units": {"total_tokens": tokens}, "tokens": {"input_tokens": tokens, "output_tokens": 0}}
    return LiteLLMRerankResponse(id=reply.id, results=results, meta=meta if tokens else None)


def transcription_response(reply: object) -> TranscriptionResponse:
    """A transcription; the text alone is one, too."""
    if isinstance(reply, str):
        return TranscriptionResponse(text=reply)
    dump = getattr(reply, "model_dump", None)
    data = dump(exclude_none=True) if callable(dump) else {}
    response = TranscriptionResponse(text=data.pop("text", None))
    for name, value in data.items():
        response[name] = value
    return response


class Chunks:
    """The chunks of a stream, as LiteLLM's stream wrapper passes them on whole.

    That wrapper ends the stream with the first `finish_reason`: it drops the usage that follows, what else
    stands in the same chunk, and the rest of other choices. So all ends are held back, and come last.

    Args:
        model: the requested name.
        is_chat: whether the chunks are of a chat.
    """

    def __init__(self, model: str, *, is_chat: bool) -> None:
        self._model = model
        self._is_chat = is_chat
        self._ends: dict[int, Json] = {}
        self._last: Json = {}
        self._usage: object = None

    def feed(self, chunk: Dumped) -> Iterable[ModelResponseStream]:
        """Take a chunk."""
        data = chunk.model_dump(exclude_none=True)
        self._usage = data.pop("usage", None) or self._usage
        data["object"] = "chat.completion.chunk"
        self._last = data
        choices = [self._choice(choice) for choice in _choices(data)]
        if choices:
            yield ModelResponseStream(**{**data, "choices": choices})

    def finish(self) -> Iterable[ModelResponseStream]:
        """Take the end of the stream."""
        if self._usage is not None:
            yield ModelResponseStream(**{**self._last, "choices": [], "usage": self._usage})
        first, *others = [self._ends[index] for index in sorted(self._ends)] or [_end_of(0, "stop")]
        if others:
            # A first choice that goes on keeps the wrapper from ending the stream here.
            unended = {"index": first["index"], "delta": {}, "finish_reason": None}
            yield ModelResponseStream(**{**self._last, "choices": [unended, *others]})
        yield ModelResponseStream(**{**self._last, "choices": [first]})

    def _choice(self, choice: Json) -> Json:
        _end(choice, self._model)
        if not self._is_chat:
            choice["delta"] = {"content": choice.pop("text", None)}
        _rename_reasoning(choice.get("delta"))
        if (reason := choice["finish_reason"]) is not None:
            index = choice.get("index")
            number = index if isinstance(index, int) else 0
            self._ends[number] = _end_of(number, reason)
            choice["finish_reason"] = None
        return choice


def _of_provider(response: R) -> R:
    """The same, with what `litellm.completion_cost` goes by."""
    response._hidden_params["custom_llm_provider"] = PROVIDER
    return response


def _end_of(index: int, finish_reason: object) -> Json:
    return {"index": index, "delta": {}, "finish_reason": finish_reason}


def _end(choice: Json, model: str) -> None:
    """Say the end of a choice in LiteLLM's words."""
    reason = choice.get("finish_reason")
    if isinstance(reason, str) and reason in _ABORTS:
        raise aborted(reason, model)
    choice["finish_reason"] = _ALSO.get(reason, reason) if isinstance(reason, str) else None


def _rename_reasoning(message: object) -> None:
    if isinstance(message, dict):
        reasoning = message.pop("reasoning", None)
        if reasoning and not message.get("reasoning_content"):
            message["reasoning_content"] = reasoning


def _choices(data: Mapping[str, object]) -> list[Json]:
    choices = data.get("choices")
    return choices if isinstance(choices, list) else []
