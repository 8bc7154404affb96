"""One plain request of every operation, as the simulator and real servers take it."""

from __future__ import annotations

from typing import Any

from tests.media import tone

MESSAGES = [{"role": "user", "content": "Say: Grüße 👋"}]

PLAIN: dict[str, dict[str, Any]] = {
    "chat.completions.create": {"messages": MESSAGES},
    "responses.create": {"input": "Say: Grüße 👋"},
    "completions.create": {"prompt": "Say: hello"},
    "embeddings.create": {"input": ["one", "two"]},
    "rerank.create": {
        "query": "capital of France",
        "documents": ["Cats purr.", "Paris is the capital of France."],
    },
    "score.create": {"queries": "capital", "documents": ["cats", "capital"]},
    "classify.create": {"input": ["one", "two"]},
    "pooling.create": {"input": "one"},
    "tokenize": {"prompt": "hello world"},
    "detokenize": {"tokens": [1, 2, 3]},
    "audio.transcriptions.create": {"file": tone(300)},
    "audio.translations.create": {"file": tone(300)},
    "server.version": {},
    "server.load": {},
}
"""Operations that answer with JSON, and parameters for them."""

STREAMED = (
    "chat.completions.create",
    "responses.create",
    "completions.create",
    "audio.transcriptions.create",
)
"""Operations that can stream."""

PATHS = {
    "chat.completions.create": "/v1/chat/completions",
    "responses.create": "/v1/chat/completions",
    "completions.create": "/v1/completions",
    "embeddings.create": "/v1/embeddings",
    "rerank.create": "/v1/rerank",
    "score.create": "/score",
    "classify.create": "/classify",
    "pooling.create": "/pooling",
    "tokenize": "/tokenize",
    "detokenize": "/detokenize",
    "audio.transcriptions.create": "/v1/audio/transcriptions",
    "audio.translations.create": "/v1/audio/translations",
    "server.version": "/version",
    "server.load": "/load",
}


def fault(text: str) -> dict[str, Any]:
    """Parameters that make the simulator misbehave in one request."""
    return {"extra_headers": {"X-Sim-Fault": text}}
