"""Capabilities of servers: what each was found to have, and which version of vLLM brought what.

Most is seen in passing, and asked of nobody: which variants of a request a server understood, and which
operations it lacks. Its version and its routes are asked for when there is an error to explain, and at no
other time. A server that was down may be another version when it is back, so what is known of it is forgotten
then, and some time later in any case.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from .._wire.decoding import JsonObject
from .._wire.payloads import ErrorPayload

if TYPE_CHECKING:
    from .._transport._httpx import httpx

Version = tuple[int, int]
"""A minor version, `(0, 32)`."""
What = tuple[str, str]
"""A variant of a request: its path, and what sets it apart where the path does not."""

ROUTES_SINCE: dict[str, Version] = {
    "/inference/v1/abort_requests": (0, 32),
    "/inference/v1/generate": (0, 11),
    "/v1/messages": (0, 11),
    "/pause": (0, 12),
    "/resume": (0, 12),
    "/is_paused": (0, 12),
    "/v1/chat/completions/render": (0, 15),
    "/v1/completions/render": (0, 15),
    "/v1/messages/count_tokens": (0, 17),
    "/v1/chat/completions/batch": (0, 19),
    "/generative_scoring": (0, 20),
    "/v1/chat/completions/derender": (0, 24),
    "/v1/completions/derender": (0, 24),
    "/v1/messages/render": (0, 29),
    "/v1/responses/render": (0, 30),
    "/v1/systemone": (0, 32),
    "/v1/decisions": (0, 33),
}
"""The first version with a route, by vLLM's sources from 0.10 to 0.33; older routes are left out."""

PARAMETERS_SINCE: dict[str, Version] = {
    "structured_outputs": (0, 11),
    "use_activation": (0, 11),
    "data_1": (0, 15),
    "data_2": (0, 15),
    "queries": (0, 15),
    "load_inplace": (0, 15),
    "prompt_cache_key": (0, 15),
    "repetition_detection": (0, 17),
    "media_io_kwargs": (0, 18),
    "truncation_side": (0, 18),
    "thinking_token_budget": (0, 19),
    "hotwords": (0, 20),
    "max_tokens_per_doc": (0, 20),
    "max_tokens_per_query": (0, 20),
    "return_prompt_text": (0, 21),
    "is_3d_lora_weight": (0, 22),
    "output_config": (0, 23),
    "return_token_offsets": (0, 25),
    "ec_transfer_params": (0, 26),
    "logprob_token_ids": (0, 26),
    "stream_interval": (0, 27),
    "routed_experts_prompt_start": (0, 28),
    "session_id": (0, 28),
    "padding": (0, 29),
    "watermarking": (0, 30),
    "mm_payload": (0, 32),
    "output_mode": (0, 32),
    "joint": (0, 33),
    "late_chunking_params": (0, 33),
    "parse_context": (0, 33),
    "prompt_cache_options": (0, 33),
    "prompt_cache_retention": (0, 33),
    "return_weight_versions": (0, 33),
}
"""The first version with a parameter, likewise. Most routes ignore what they do not know; some refuse it."""

TOKEN_EMBEDDINGS_SINCE: Version = (0, 33)
"""The first version with `/v1/embeddings` for models with a vector for each token; older ones answer 501."""

_FLAGS = {
    "lora": "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1",
    **dict.fromkeys(
        (
            "server.sleep",
            "server.wake_up",
            "server.is_sleeping",
            "server.pause",
            "server.resume",
            "server.is_paused",
            "server.reset_prefix_cache",
            "server.server_info",
        ),
        "VLLM_SERVER_DEV_MODE=1",
    ),
}
"""What a server is started with to have the route of an operation, or of all of a resource."""

_KINDS = {
    "/v1/chat/completions": "chat completions",
    "/v1/completions": "text completions",
    "/v1/audio/transcriptions": "transcriptions",
    "/v1/embeddings": "embeddings",
    "/classify": "classify",
    "/v1/rerank": "rerank",
    "/score": "score",
    "/pooling": "pooling",
}
"""What a model is for, by its routes."""

_NUMBER = re.compile(r"v?(\d+)\.(\d+)")
_NAME = re.compile("|".join(rf"\b{name}\b" for name in PARAMETERS_SINCE))

REFUSAL_KEPT_FOR = 3600.0
"""Seconds for which a server is remembered not to have something."""
ANSWERS_KEPT_FOR = 60.0
"""Seconds for which a server is not asked again what it is."""
_OF_BODIES = re.compile(rb"content-|transfer-encoding", re.I)
_PATIENCE = {"connect": 2.0, "read": 5.0, "write": 2.0, "pool": 2.0}  # FastAPI makes its document when asked


@dataclass(frozen=True)
class ServerAnswers:
    """The answers of a server about itself.

    Attributes:
        version: of vLLM, as `/version` has it; "" if it does not say (routers), None if it was not asked.
        paths: of its routes, as `/openapi.json` has them; empty if it has none, None if it was not asked.
    """

    version: str | None = None
    paths: frozenset[str] | None = None

    def is_older_than(self, since: Version) -> bool:
        """Tell whether the server is known to be older than a version."""
        number = read_version(self.version)
        return number is not None and number < since


def read_version(text: str | None) -> Version | None:
    """Return the minor version in a text, `"0.32.1rc1+cpu"`; None if there is none.

    A build from a checkout without tags calls itself 0.1.dev, whatever it is.
    """
    found = _NUMBER.match(text or "")
    if found is None:
        return None
    number = int(found[1]), int(found[2])
    return None if number <= (0, 1) else number


@dataclass
class Capabilities:
    """The capabilities of one server, as they were seen.

    Attributes:
        understood: the variants of each operation that it understood.
        refused: those that it did not, with the time until which that is believed.
        lacking: models, by operation, for which it understood no variant at all, likewise.
        answers: what it says of itself, if it was asked.
        answers_until: the time until which that is believed.
    """

    understood: dict[str, set[What]] = field(default_factory=dict)
    refused: dict[str, dict[What, float]] = field(default_factory=dict)
    lacking: dict[tuple[str, str | None], float] = field(default_factory=dict)
    answers: ServerAnswers = ServerAnswers()
    answers_until: float = 0.0


NOTHING = Capabilities()
"""What is known of a server that was not asked for anything; never written to."""


class CapabilityTable:
    """The capabilities of all servers of a client and its copies; threads and event loops may share it.

    Args:
        clock: seconds, never going back.

    Attributes:
        servers: by their URLs; those that nothing was seen of are left out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.servers: dict[str, Capabilities] = {}

    def forget(self, root: str) -> None:
        """Forget a server that was down: it may come back as another version."""
        self.servers.pop(root, None)

    def _of(self, root: str) -> Capabilities:
        return self.servers.setdefault(root, Capabilities())

    def refuses(self, root: str, operation: str, what: What) -> bool:
        """Tell whether a server did not understand a variant, not long ago."""
        server = self.servers.get(root, NOTHING)
        return server.refused.get(operation, {}).get(what, 0.0) > self._clock()

    def keep(self, root: str, operation: str, refused: Iterable[What], understood: What | None) -> None:
        """Keep what was seen of a server.

        Args:
            root: its URL.
            operation: what was asked.
            refused: the variants that it did not understand.
            understood: the one that it did.
        """
        server = self._of(root)
        good = server.understood.setdefault(operation, set())
        until = self._clock() + REFUSAL_KEPT_FOR
        for what in refused:
            server.refused.setdefault(operation, {})[what] = until
            good.discard(what)
        if understood is not None:
            good.add(understood)
            server.refused.get(operation, {}).pop(understood, None)

    def keep_lack(self, root: str, operation: str, model: str | None) -> None:
        """Keep that a server has no way to perform an operation with a model."""
        self._of(root).lacking[operation, model] = self._clock() + REFUSAL_KEPT_FOR

    def lacks(self, root: str, operation: str, model: str | None) -> bool:
        """Tell whether that was seen, not long ago."""
        return self.servers.get(root, NOTHING).lacking.get((operation, model), 0.0) > self._clock()

    def answers(self, root: str) -> ServerAnswers:
        """Return what a server said of itself, not long ago."""
        server = self.servers.get(root, NOTHING)
        return server.answers if self._clock() < server.answers_until else ServerAnswers()

    def keep_answers(self, root: str, answers: ServerAnswers) -> None:
        """Keep what a server says of itself."""
        server = self._of(root)
        server.answers, server.answers_until = answers, self._clock() + ANSWERS_KEPT_FOR


class Http(Protocol):
    """An http client, awaited in both worlds."""

    async def send(self, request: httpx.Request, stream: bool, **options: Any) -> httpx.Response:
        """Send a request; the response's body is not read if it is to be streamed."""


async def explanation(
    http: Http,
    table: CapabilityTable,
    *,
    root: str,
    operation: str,
    response: httpx.Response,
    error: ErrorPayload,
) -> str | None:
    """Find out what explains an error, which may take a question to the server.

    Args:
        http: what to ask with.
        table: what is known.
        root: the server's URL.
        operation: what was asked for.
        response: the error reply.
        error: what it says.

    Returns:
        A clause for the error's message; None if there is nothing to say.
    """
    status, request = response.status_code, response.request
    if is_too_large(status, error):
        return _too_large(request)
    if is_missing_route(status, error):
        path = str(request.url.copy_with(query=None)).removeprefix(root)
        since = ROUTES_SINCE.get(path)
        answers = await _ask_version(http, table, root, request)
        if since is not None and answers.is_older_than(since):
            return f"no such route: {path} {_needs(since, answers)}"
        return missing_route(operation, await _ask_paths(http, table, root, request))
    if status == 501 and operation == "embeddings.create":
        since, answers = TOKEN_EMBEDDINGS_SINCE, await _ask_version(http, table, root, request)
        if answers.is_older_than(since):
            told = _needs(since, answers)
            return f"of a model with a vector for each token it {told}; pooling.create has them"
        return None
    if status in (400, 422) and (name := _named_parameter(error)) is not None:
        answers = await _ask_version(http, table, root, request)
        since = PARAMETERS_SINCE[name]
        return f"{name} {_needs(since, answers)}" if answers.is_older_than(since) else None
    return None


def is_missing_route(status: int, error: ErrorPayload) -> bool:
    """Tell whether an error reply means that there is no such route.

    FastAPI says so in words of its own, and vLLM's Rust frontend (0.33) by saying nothing. An unknown model
    is said in another shape.
    """
    return status in (404, 405) and (error.shape == "detail" or error.is_empty)


def is_too_large(status: int, error: ErrorPayload) -> bool:
    """Tell whether an error reply means too large a request; vLLM's Rust frontend says so with a 400."""
    return status == 413 or (status == 400 and "length limit exceeded" in error.message)


def _too_large(request: httpx.Request) -> str | None:
    size = request.headers.get("content-length", "")
    if not size.isdigit():
        return None
    return (
        f"the request is of {int(size) / 2**20:.1f} MiB; vLLM's Rust frontend (0.33) takes 32 unless "
        "VLLM_HTTP_MAX_REQUEST_BODY_SIZE says otherwise, and a proxy may take less: send less at once"
    )


def missing_route(operation: str, answers: ServerAnswers | None = None) -> str:
    """Say of a route that a server lacks what it takes to have it, as far as that is known.

    Args:
        operation: what was asked for.
        answers: what the server says of itself.
    """
    flag = _FLAGS.get(operation) or _FLAGS.get(operation.partition(".")[0])
    if flag is not None:
        return f"no such route: vLLM has it with {flag}"
    paths = (answers and answers.paths) or frozenset()
    kinds = [kind for path, kind in _KINDS.items() if path in paths]
    serves = f"; it serves {', '.join(kinds)}" if kinds else ""
    version = answers and answers.version
    server = f"the server's model (vLLM {version})" if version else "the server's model"
    return f"no such route: {server}, or a router before it, does not serve this operation{serves}"


def _needs(since: Version, answers: ServerAnswers) -> str:
    return f"needs vLLM >= {since[0]}.{since[1]}, the server is {answers.version}"


def _named_parameter(error: ErrorPayload) -> str | None:
    """The newest of the parameters that an error is about."""
    body = error.body
    named = body.get("param") if isinstance(body, dict) else None
    found = _NAME.findall(f"{error.message} {named}")
    return max(found, key=PARAMETERS_SINCE.__getitem__, default=None)


# Two questions, since the first may be enough.


async def _ask_version(
    http: Http, table: CapabilityTable, root: str, request: httpx.Request
) -> ServerAnswers:
    """Ask a server for its version, unless it was asked just now.

    Args:
        http: what to ask with.
        table: where the answer is kept.
        root: the server's URL.
        request: one that it answered, with the credentials that it wants.
    """
    answers = table.answers(root)
    if answers.version is None:
        version = (await _get(http, f"{root}/version", request)).get("version")
        answers = replace(answers, version=version if isinstance(version, str) else "")
        table.keep_answers(root, answers)
    return answers


async def _ask_paths(http: Http, table: CapabilityTable, root: str, request: httpx.Request) -> ServerAnswers:
    """Ask a server for its routes likewise."""
    answers = table.answers(root)
    if answers.paths is None:
        paths = (await _get(http, f"{root}/openapi.json", request)).get("paths")
        answers = replace(answers, paths=frozenset(paths if isinstance(paths, dict) else ()))
        table.keep_answers(root, answers)
    return answers


async def _get(http: Http, url: str, request: httpx.Request) -> JsonObject:
    """The JSON object that a URL answers; an empty one for anything else."""
    headers = [(name, value) for name, value in request.headers.raw if not _OF_BODIES.match(name)]
    question = type(request)("GET", url, headers=headers, extensions={"timeout": dict(_PATIENCE)})
    try:
        response = await http.send(question, False, follow_redirects=False)
        document = orjson.loads(response.content) if response.is_success else None
    except Exception:  # noqa: BLE001  # a mock's, perhaps: what the caller shall see is the error in hand
        return {}
    return document if isinstance(document, dict) else {}
