"""The name of the served model, for what is saved without one."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from llama_index.core.schema import BaseComponent
from pydantic import (
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from vllm_connect.adapters import ServedModels

from .content import Json

if TYPE_CHECKING:
    from vllm_connect import VLLM

_SERVED = "served_model"


class KnowsServedModel(BaseComponent):
    """A base of what is saved with the name of the served model, if nobody named one.

    LlamaIndex's caches hash what is saved. Without that name they would hand out what another model, which
    has been served at the same address since, has not made.
    """

    _served_models: ServedModels = PrivateAttr(default_factory=ServedModels)

    if TYPE_CHECKING:

        @property
        def client(self) -> VLLM:
            """The client to ask."""

    @property
    def named_model(self) -> str | None:
        """The model that the user named."""
        raise NotImplementedError

    @model_serializer(mode="wrap")
    def custom_model_dump(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> Json:
        """The saved data; reading ignores what is added here."""
        saved: Json = super().custom_model_dump(handler, info)
        if not self.named_model:
            served = self._served_models.ask_for_a_moment(self.client, None)
            # Of two that are not known, none is taken for the other.
            saved[_SERVED] = (served and served.name) or f"unknown {uuid4()}"
        return saved

    @model_validator(mode="before")
    @classmethod
    def _read_saved(cls, saved: object) -> object:
        return {k: v for k, v in saved.items() if k != _SERVED} if isinstance(saved, dict) else saved
