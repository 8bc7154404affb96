"""Facts that a server tells of itself, before it is asked to do anything."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import openai

from .._client import VLLM
from .._keys.key import resolve, split_prefix
from ..errors import APIConnectionError, APIStatusError, APITimeoutError, ConfigError
from ..types import Model
from .asking import masked, secrets_of
from .outcomes import explain, milliseconds

_ROUND_TRIPS = 3
_MOST_MODELS = 8

#: "none": nobody answers; "foreign": somebody does who is no vLLM server, or is none at the moment;
#: "locked": the server wants another API key.
ProblemKind = Literal["none", "foreign", "locked"]


@dataclass(frozen=True)
class Problem:
    """A reason why a server cannot be asked for anything."""

    kind: ProblemKind
    text: str


@dataclass(frozen=True)
class Facts:
    """The facts that are known of a server.

    Attributes:
        url: its root, without credentials.
        version: what /version says; None when it says nothing (routers often do not).
        models: what it lists.
        latency: seconds from a request that costs nothing to its answer; None if there was none.
        keyed: whether credentials were sent.
        problem: why there is no more to find out, if so.
    """

    url: str
    version: str | None = None
    models: tuple[Model, ...] = ()
    latency: float | None = None
    keyed: bool = False
    problem: Problem | None = None

    def candidates(self, chosen: str | None = None) -> list[str | None]:
        """The models to try for each operation, until one serves it.

        A vLLM server has one model, perhaps under several names and with adapters, and one of these tells
        of all. Behind a router there are several.
        """
        if chosen is not None:
            return [chosen]
        names: dict[str, str | None] = {}
        for model in self.models:
            if not model.parent:
                names.setdefault(model.root or model.id, model.id)
        return list(names.values())[:_MOST_MODELS] or [None]

    def lists(self, name: str) -> bool:
        """Tell whether a model is among those that the server lists."""
        return split_prefix(name) in {model.id for model in self.models}

    def as_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return {
            "url": self.url,
            "version": self.version,
            "latency_ms": milliseconds(self.latency),
            "models": [
                {"id": model.id, "max_model_len": model.max_model_len, "parent": model.parent}
                for model in self.models
            ],
            "problem": self.problem and {"kind": self.problem.kind, "text": self.problem.text},
        }


def look(client: VLLM, *, insist: bool = False) -> Facts:
    """Find out what there is to know about a server without making it work.

    Args:
        client: a client of one key.
        insist: a server that tells nothing of itself is no problem.

    Raises:
        ConfigError: the client's URL or key cannot be used.
    """
    secrets = secrets_of(client)
    url = resolve(client.keys[0]).address
    keyed = bool(secrets)
    models: Sequence[Model] = ()
    failure: Exception | None = None
    try:
        models = client.models.list().data
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  # foreign servers send what no client is ready for
        failure = error
    if isinstance(failure, APIConnectionError):
        return Facts(url, keyed=keyed, problem=Problem("none", masked(_nobody(failure, url), secrets)))
    version = _version(client)
    problem = None
    if isinstance(failure, APIStatusError) and failure.status_code in (401, 403):
        problem = Problem("locked", _locked(failure.status_code, keyed))
    elif failure is not None and version is None and not insist:
        code = f"{failure.status_code} " if isinstance(failure, APIStatusError) else ""
        told = f"GET /v1/models: {code}{explain(failure)}"
        problem = Problem("foreign", masked(f"no vLLM server at {url}: {told}", secrets))
    latency = _latency(client) if failure is None else None
    return Facts(url, version, tuple(models), latency, keyed, problem)


def _nobody(error: APIConnectionError, url: str) -> str:
    if isinstance(error, APITimeoutError):
        return f"no server at {url}: it does not answer"
    return f"no server at {url}: {explain(error).removeprefix('Connection error: ').rstrip('.')}"


def _locked(code: int, keyed: bool) -> str:
    if keyed:
        return f"the server refuses the API key ({code})"
    return f"the server asks for an API key ({code}): pass --api-key KEY or --api-key env.NAME"


def _version(client: VLLM) -> str | None:
    try:
        return str(client.server.version())
    except openai.OpenAIError:
        return None


def _latency(client: VLLM) -> float | None:
    """The best of some round trips, on a connection that is open already."""
    times = []
    for _ in range(_ROUND_TRIPS):
        began = time.perf_counter()
        try:
            client.models.list()
        except openai.OpenAIError:
            continue
        times.append(time.perf_counter() - began)
    return min(times, default=None)
