"""The operation that a batch's URL names, called so that the server's reply comes as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from .batch_file import BatchRequest, answer_line

if TYPE_CHECKING:
    from .._client import AsyncVLLM


class _Route(NamedTuple):
    method: str
    arguments: tuple[str, ...]  # those of the body that the method wants by name


_CHAT = _Route("chat.completions", ("messages",))
_RERANK = _Route("rerank", ("query", "documents"))
_SCORE = _Route("score", ("queries", "documents", "items", "text_1", "text_2", "data_1", "data_2"))
_ROUTES = {
    "/v1/chat/completions": _CHAT,
    "/v1/completions": _Route("completions", ("prompt",)),
    "/v1/embeddings": _Route("embeddings", ("input", "messages", "encoding_format")),
    "/v1/rerank": _RERANK,
    "/rerank": _RERANK,
    "/v2/rerank": _RERANK,
    "/v1/score": _SCORE,
    "/score": _SCORE,
    "/v1/classify": _Route("classify", ("input", "messages")),
    "/classify": _Route("classify", ("input", "messages")),
}


def batch_call(client: AsyncVLLM) -> Callable[[BatchRequest], Awaitable[bytes]]:
    """Return what asks a request of a batch and gives its line of the output."""
    methods = {
        url: attrgetter(f"{route.method}.with_raw_response.create")(client) for url, route in _ROUTES.items()
    }

    async def ask(request: BatchRequest) -> bytes:
        route = _ROUTES.get(request.url)
        if route is None:
            raise ValueError(f"url is one of {', '.join(_ROUTES)}; not {request.url!r}")
        body = dict(request.body)
        if body.get("stream"):
            raise ValueError("stream: a batch has no streams; leave it out")
        body.pop("stream", None)
        model = body.pop("model", None)
        if route.method == "embeddings":
            body.setdefault("encoding_format", "float")
        named = {name: body.pop(name) for name in route.arguments if name in body}
        reply = await methods[request.url](**named, model=model, extra_body=body)
        reply.parse()  # raises what is no answer
        return answer_line(request, reply.status_code, reply.request_id, reply.content)

    return ask
