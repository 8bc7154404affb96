"""Routes, and the operation that each is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ..._client import AsyncVLLM
from ..._wire.decoding import JsonObject
from ..http.exchange import Exchange
from .passing import CHAT, COMPLETIONS, COUNT_TOKENS, DETOKENIZE, MESSAGES, TOKENIZE, Passing
from .typed import CLASSIFY, POOLING, RERANK, SCORE, embeddings, responses

Answer = Callable[[AsyncVLLM, Exchange, JsonObject], Awaitable[None]]


class Operation(NamedTuple):
    """An operation that takes a JSON object.

    Attributes:
        name: in the client.
        answer: answers a request.
        typed: whether errors are in Anthropic's form.
    """

    name: str
    answer: Answer
    typed: bool = False


def _operation(answer: Passing) -> Operation:
    return Operation(answer.operation, answer, answer.typed)


_RERANK = Operation(RERANK.operation, RERANK)
_SCORE = Operation(SCORE.operation, SCORE)
_TOKENIZE = _operation(TOKENIZE)
_DETOKENIZE = _operation(DETOKENIZE)

JSON_ROUTES: dict[str, Operation] = {
    "/v1/chat/completions": _operation(CHAT),
    "/v1/completions": _operation(COMPLETIONS),
    "/v1/responses": Operation("responses.create", responses),
    "/v1/messages": _operation(MESSAGES),
    "/v1/messages/count_tokens": _operation(COUNT_TOKENS),
    "/v1/embeddings": Operation("embeddings.create", embeddings),
    "/v1/rerank": _RERANK,
    "/v2/rerank": _RERANK,
    "/rerank": _RERANK,
    "/v1/score": _SCORE,
    "/score": _SCORE,
    "/v1/classify": Operation(CLASSIFY.operation, CLASSIFY),
    "/classify": Operation(CLASSIFY.operation, CLASSIFY),
    "/v1/pooling": Operation(POOLING.operation, POOLING),
    "/pooling": Operation(POOLING.operation, POOLING),
    "/v1/tokenize": _TOKENIZE,
    "/tokenize": _TOKENIZE,
    "/v1/detokenize": _DETOKENIZE,
    "/detokenize": _DETOKENIZE,
}

FORM_ROUTES = {
    "/v1/audio/transcriptions": "transcriptions",
    "/v1/audio/translations": "translations",
}

#: What OpenAI's API has and vLLM lacks, by the beginning of the path.
UNSUPPORTED = {
    "/v1/images": "images",
    "/v1/audio/speech": "audio.speech",
    "/v1/files": "files",
    "/v1/uploads": "uploads",
    "/v1/batches": "batches",
    "/v1/videos": "videos",
    "/v1/fine_tuning": "fine_tuning",
    "/v1/moderations": "moderations",
    "/v1/vector_stores": "vector_stores",
    "/v1/assistants": "assistants",
    "/v1/threads": "threads",
    "/v1/containers": "containers",
    "/v1/conversations": "conversations",
    "/v1/evals": "evals",
    "/v1/realtime": "realtime",
}


def unsupported(path: str) -> str | None:
    """The operation that a path is and that no vLLM server has; None for any other path."""
    return next(
        (name for start, name in UNSUPPORTED.items() if path == start or path.startswith(f"{start}/")), None
    )
