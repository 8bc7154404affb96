"""What the list of models answers."""

from __future__ import annotations

import openai.types
from openai import BaseModel
from openai.pagination import AsyncPage, SyncPage


class Model(openai.types.Model):
    """A served model or LoRA adapter.

    Attributes:
        root: where its weights come from.
        parent: the base model of an adapter.
        max_model_len: its context, in tokens; None when a router hides it.
        key_names: the keys (servers) that serve it.
    """

    created: int = 0
    owned_by: str = "vllm"
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None
    key_names: list[str] = []


class KeyStatus(BaseModel):
    """How one key's server answered.

    Attributes:
        key_name: the key's name.
        status: "success" or "list_models_failed", Bifrost's words.
        error: what went wrong, None on success.
    """

    key_name: str
    status: str
    error: str | None = None


class ModelPage(SyncPage[Model]):
    """The models of all keys, and how each key answered."""

    key_statuses: list[KeyStatus] = []


class AsyncModelPage(AsyncPage[Model]):
    """The models of all keys, and how each key answered."""

    key_statuses: list[KeyStatus] = []
