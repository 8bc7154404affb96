"""The health of a client's servers, as callers see it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple


class ServerStatus(NamedTuple):
    """The health of one server, as the requests of this client and its copies have shown.

    Attributes:
        key_name: of its key.
        url: where it is, without credentials; None while its key's URL refers to nothing.
        state: ``"healthy"``; ``"resting"``, it failed and is not asked while another server may be;
            ``"probing"``, one request is trying whether it is back.
        since: when it got into this state (UTC); resting and probing are one spell.
        until: when its rest ends; None if it does not rest.
        reason: why it rests, ``""`` if it does not.
        in_flight: requests of this client that run on it.
        sessions: conversations that are at home on it.
        lacking: models that it was asked for within the last minute, and does not know.
    """

    key_name: str
    url: str | None
    state: Literal["healthy", "resting", "probing"]
    since: datetime
    until: datetime | None
    reason: str
    in_flight: int
    sessions: int
    lacking: tuple[str, ...]
