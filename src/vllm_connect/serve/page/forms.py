"""A key's form: what a browser sends, as an edit of the configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qs

from ..._wire.decoding import JsonObject
from ..config.editing import (
    KeyEdit,
    model_name_of,
    models_of,
    name_of,
    reference_of,
    stored_secret,
    url_of,
)

Fields = Mapping[str, str]


class Form(NamedTuple):
    """The form as it is shown. It never holds a token.

    Attributes:
        name: of the key.
        reference: ``env.NAME`` if the token is one.
        has_token: whether a token is stored.
        url: of the server.
        model_name: the one model, ``""`` for any.
        all_models: whether all models are allowed.
        models: those that are, one a line.
        weight: as text.
        enabled: whether it is in service.
    """

    name: str = ""
    reference: str = ""
    has_token: bool = False
    url: str = "http://localhost:8000"
    model_name: str = ""
    all_models: bool = True
    models: str = ""
    weight: str = "1"
    enabled: bool = True


class Wrong(Exception):
    """A field that cannot be right.

    Args:
        field: its name in the form.
        message: what is wrong with it.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def read_fields(content: bytes) -> dict[str, str]:
    """Read a form as browsers send it."""
    pairs = parse_qs(content.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100)
    return {name: values[-1] for name, values in pairs.items()}


def form_of(key: JsonObject) -> Form:
    """The form of a key that is there."""
    models = models_of(key)
    weight = key.get("weight")
    return Form(
        name=name_of(key),
        reference=reference_of(key) or "",
        has_token=stored_secret(key),
        url=url_of(key),
        model_name=model_name_of(key),
        all_models=models is None,
        models="\n".join(models or ()),
        weight="1" if weight is None else f"{weight:g}" if isinstance(weight, (int, float)) else str(weight),
        enabled=key.get("enabled") is not False,
    )


def form_again(fields: Fields, stored: JsonObject | None) -> Form:
    """The form as it was sent, to be mended; a token has to be typed again."""
    api_key = fields.get("api_key", "")
    return Form(
        name=fields.get("name", ""),
        reference=api_key if api_key.startswith("env.") else "",
        has_token=stored is not None and stored_secret(stored),
        url=fields.get("url", ""),
        model_name=fields.get("model_name", ""),
        all_models=fields.get("allowed", "all") == "all",
        models=fields.get("models", ""),
        weight=fields.get("weight", ""),
        enabled="enabled" in fields,
    )


def edit_of(fields: Fields, stored: JsonObject | None) -> KeyEdit:
    """Read an edit.

    Args:
        fields: of the form.
        stored: the key that is edited, as it is; None for a new one.

    Raises:
        Wrong: a field cannot be right.
    """
    name, url = fields.get("name", "").strip(), fields.get("url", "").strip()
    if not name:
        raise Wrong("name", "Give the key a name.")
    if not url:
        raise Wrong("url", "Give the URL of the server, for example http://localhost:8000.")
    return KeyEdit(
        name=name,
        url=url,
        model_name=fields.get("model_name", "").strip(),
        models=_models(fields),
        weight=_weight(fields.get("weight", "").strip()),
        enabled="enabled" in fields,
        api_key=api_key_of(fields, stored, url),
    )


def api_key_of(fields: Fields, stored: JsonObject | None, url: str) -> str | None:
    """The token that is meant; None for the stored one, which is sent nowhere but where it was meant for.

    Raises:
        Wrong: the stored one would go to another server.
    """
    given = fields.get("api_key", "").strip()
    if given:
        return given
    if stored is None or "remove_token" in fields or not stored_secret(stored):
        return ""
    if url.rstrip("/") != url_of(stored).rstrip("/"):
        raise Wrong(
            "api_key",
            "The stored API key is for another URL: type it again, or tick Remove the stored API key.",
        )
    return None


def _models(fields: Fields) -> tuple[str, ...] | None:
    if fields.get("allowed", "all") == "all":
        return None
    names = tuple(
        dict.fromkeys(line.strip() for line in fields.get("models", "").splitlines() if line.strip())
    )
    if not names:
        raise Wrong("models", "Name the models that are allowed, one in each line, or allow all.")
    return names


def _weight(text: str) -> float:
    try:
        weight = float(text or "1")
    except ValueError:
        weight = -1.0
    if not (0 <= weight < 1e9) or math.isnan(weight):
        raise Wrong("weight", "The weight is a number from 0.")
    return weight
