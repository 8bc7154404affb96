"""The operations, each with a small request that shows whether a server has it.

`check` and `demo` ask exactly these. No probe needs a particular model, and none costs more than a few
tokens.
"""

from __future__ import annotations

import array
import io
import math
import sys
import wave
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .outcomes import NotAsExpected, Piece


@dataclass
class Request:
    """The material that a probe makes its request of.

    Attributes:
        model: whom to ask; None for the server's own choice.
        tokens: how many may be generated.
        results: those so far, by call, for probes that go on with one.
    """

    model: str | None = None
    tokens: int = 8
    results: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """One operation, and how to try it.

    Attributes:
        operation: what it is called.
        call: the method, from the client on.
        endpoint: its route.
        question: the request in a few words.
        parameters: makes the request; the model and `stream` are added to it.
        pieces: what a result says, in a few words.
        piece: what an event of a stream says, None if nothing; None for what cannot be streamed.
        takes_model: whether a model is named in the request.
        native: whether the client is to use vLLM's own Responses API.
    """

    operation: str
    call: str
    endpoint: str
    question: str
    parameters: Callable[[Request], dict[str, Any]]
    pieces: Callable[[Any], Sequence[Piece]]
    piece: Callable[[Any], Piece | None] | None = None
    takes_model: bool = True
    native: bool = False


SENTENCE = "Each word arrives as it is written."
_BEGINNING = "The capital of France is"
_QUERY = "What is the capital of France?"
_DOCUMENTS = ["Bread is made of flour.", "The capital of France is Paris.", "Rain falls from clouds."]


@cache
def tone(hertz: int = 300, seconds: float = 1.0, rate: int = 16000) -> bytes:
    """A WAV file with a sine."""
    step = 2 * math.pi * hertz / rate
    samples = array.array("h", (int(12000 * math.sin(step * i)) for i in range(int(seconds * rate))))
    if sys.byteorder == "big":
        samples.byteswap()
    file = io.BytesIO()
    with wave.open(file, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(rate)
        clip.writeframes(samples.tobytes())
    return file.getvalue()


# --- what a request asks ---------------------------------------------------------------------------------


def _nothing(request: Request) -> dict[str, Any]:
    return {}


def _chat(request: Request) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Say: {SENTENCE}"}]
    return {"messages": messages, "max_tokens": request.tokens, "temperature": 0}


def _response(request: Request) -> dict[str, Any]:
    return {"input": f"Say: {SENTENCE}", "max_output_tokens": request.tokens, "temperature": 0}


def _completion(request: Request) -> dict[str, Any]:
    return {"prompt": _BEGINNING, "max_tokens": request.tokens, "temperature": 0}


def _detokenize(request: Request) -> dict[str, Any]:
    tokenized = request.results.get("tokenize")
    return {"tokens": (tokenized and tokenized.tokens) or [1]}  # 1 is a token of every vocabulary


def _speech(request: Request) -> dict[str, Any]:
    return {"file": ("tone.wav", tone(), "audio/wav"), "max_completion_tokens": request.tokens}


# --- what an answer says ---------------------------------------------------------------------------------


def _says(text: str) -> list[Piece]:
    return [Piece(text)]


def _pieces(reasoning: str | None, content: str | None) -> list[Piece]:
    said = [Piece(content or "")]
    return [Piece(reasoning, thought=True), *said] if reasoning else said


def _chat_said(reply: Any) -> list[Piece]:
    message = reply.choices[0].message
    return _pieces(message.reasoning, message.content)


def _chat_piece(chunk: Any) -> Piece | None:
    for choice in chunk.choices:
        if text := choice.delta.content or choice.delta.reasoning:
            return Piece(text, thought=not choice.delta.content)
    return None


def _response_said(reply: Any) -> list[Piece]:
    thoughts = [
        content.text for item in reply.output if item.type == "reasoning" for content in item.content or ()
    ]
    return _pieces("".join(thoughts), reply.output_text)


def _response_piece(event: Any) -> Piece | None:
    if event.type not in ("response.output_text.delta", "response.reasoning_text.delta"):
        return None
    return Piece(event.delta, thought="reasoning" in event.type) if event.delta else None


def _completion_said(reply: Any) -> list[Piece]:
    return _says(reply.choices[0].text)


def _completion_piece(chunk: Any) -> Piece | None:
    return Piece(chunk.choices[0].text) if chunk.choices and chunk.choices[0].text else None


def _speech_said(reply: Any) -> list[Piece]:
    return _says(reply.text)


def _speech_piece(event: Any) -> Piece | None:
    return Piece(event.delta) if event.type == "transcript.text.delta" and event.delta else None


def _embedding_said(reply: Any) -> list[Piece]:
    vector = reply.data[0].embedding
    return _says(f"{len(vector)} numbers: {_begin(vector)}")


def _pooling_said(reply: Any) -> list[Piece]:
    data = reply.data[0].data
    if data and isinstance(data[0], list):
        return _says(f"{len(data)} vectors of {len(data[0])} numbers")
    return _says(f"{len(data)} number{'s' * (len(data) != 1)}: {_begin(data)}")


def _begin(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.2f}" for number in numbers[:3]) + ", …" * (len(numbers) > 3)


def _rerank_said(reply: Any) -> list[Piece]:
    best = reply.results[0]
    return _says(f"best: {_DOCUMENTS[best.index]} ({best.relevance_score:.2f})")


def _score_said(reply: Any) -> list[Piece]:
    return _says(f"{reply.data[0].score:.2f}")


def _classify_said(reply: Any) -> list[Piece]:
    found = reply.data[0]
    classes = f"{found.num_classes} class{'es' * (found.num_classes != 1)}"
    return _says(f"{found.label or 'no label'} ({max(found.probs):.2f} of {classes})")


def _tokenize_said(reply: Any) -> list[Piece]:
    return _says(f"{reply.count} tokens{': ' * bool(reply.tokens)}{_listed(reply.tokens)}")


def _models_said(page: Any) -> list[Piece]:
    return _says(_listed(model.id for model in page.data) or "none")


def _listed(items: Iterable[Any], most: int = 6) -> str:
    texts = [str(item) for item in items]
    return ", ".join(texts[:most]) + ", …" * (len(texts) > most)


def _health_said(alive: bool) -> list[Piece]:
    if not alive:
        raise NotAsExpected("the server is up, its engine is not (503)")
    return _says("healthy")


def _metrics_said(text: str) -> list[Piece]:
    samples = sum(bool(line) and not line.startswith("#") for line in text.splitlines())
    return _says(f"{samples} metrics")


def _plainly(value: Any) -> list[Piece]:
    return _says(str(value))


# --- the table -------------------------------------------------------------------------------------------


def _about_server(method: str, said: Callable[[Any], Sequence[Piece]]) -> Probe:
    call = f"server.{method}"
    return Probe(f"server: {method}", call, f"/{method}", "", _nothing, said, takes_model=False)


PROBES: tuple[Probe, ...] = (
    Probe(
        "chat completions", "chat.completions.create", "/v1/chat/completions",
        f"Say: {SENTENCE}", _chat, _chat_said, _chat_piece,
    ),
    Probe(
        "Responses API", "responses.create", "/v1/chat/completions",
        f"Say: {SENTENCE}", _response, _response_said, _response_piece,
    ),
    Probe(
        "Responses, native", "responses.create", "/v1/responses",
        f"Say: {SENTENCE}", _response, _response_said, _response_piece, native=True,
    ),
    Probe(
        "text completions", "completions.create", "/v1/completions",
        _BEGINNING, _completion, _completion_said, _completion_piece,
    ),
    Probe(
        "embeddings", "embeddings.create", "/v1/embeddings",
        _QUERY, lambda _: {"input": _QUERY}, _embedding_said,
    ),
    Probe(
        "rerank", "rerank.create", "/v1/rerank",
        f"{_QUERY} 3 documents", lambda _: {"query": _QUERY, "documents": _DOCUMENTS}, _rerank_said,
    ),
    Probe(
        "score", "score.create", "/score",
        f"{_QUERY} {_DOCUMENTS[1]}", lambda _: {"queries": _QUERY, "documents": _DOCUMENTS[1]}, _score_said,
    ),
    Probe(
        "classify", "classify.create", "/classify",
        _QUERY, lambda _: {"input": _QUERY}, _classify_said,
    ),
    Probe(
        "pooling", "pooling.create", "/pooling",
        _QUERY, lambda _: {"input": _QUERY}, _pooling_said,
    ),
    Probe(
        "tokenize", "tokenize", "/tokenize",
        SENTENCE, lambda _: {"prompt": SENTENCE}, _tokenize_said,
    ),
    Probe(
        "detokenize", "detokenize", "/detokenize",
        "these tokens", _detokenize, lambda reply: _says(reply.prompt),
    ),
    Probe(
        "list models", "models.list", "/v1/models",
        "", _nothing, _models_said, takes_model=False,
    ),
    Probe(
        "transcriptions", "audio.transcriptions.create", "/v1/audio/transcriptions",
        "1 s of a low tone", _speech, _speech_said, _speech_piece,
    ),
    Probe(
        "translations", "audio.translations.create", "/v1/audio/translations",
        "1 s of a low tone", _speech, _speech_said, _speech_piece,
    ),
    _about_server("health", _health_said),
    _about_server("version", _plainly),
    _about_server("load", lambda load: _says(f"{load:g} requests")),
    _about_server("metrics", _metrics_said),
)  # fmt: skip

#: One for all that OpenAI has and vLLM lacks; it is refused without a request.
LACKING = Probe(
    "images, speech, files, batches, …", "images.generate", "",
    "a cat", lambda _: {"prompt": "a cat"}, _plainly, takes_model=False,
)  # fmt: skip
