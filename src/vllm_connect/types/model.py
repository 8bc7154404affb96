"""Answers of the list of models."""

import openai.types
from openai import BaseModel
from openai.pagination import AsyncPage, SyncPage

from ._extras import Extra, stands_in


@stands_in
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
    root = Extra[str | None](None)
    parent = Extra[str | None](None)
    max_model_len = Extra[int | None](None)
    key_names = Extra[list[str]]([])


class KeyStatus(BaseModel):
    """The answer of one key's server.

    Attributes:
        key_name: the key's name.
        status: "success" or "list_models_failed", Bifrost's words.
        error: what went wrong, None on success.
    """

    key_name: str
    status: str
    error: str | None = None


@stands_in
class ModelPage(SyncPage[Model]):
    """The models of all keys, and how each key answered."""

    key_statuses = Extra[list[KeyStatus]]([])


@stands_in
class AsyncModelPage(AsyncPage[Model]):
    """The models of all keys, and how each key answered."""

    key_statuses = Extra[list[KeyStatus]]([])
