"""`client.beta.chat`, another `client.chat`: where older code calls `completions.parse` and `.stream`.

Another, as in the SDK: who wraps the methods of both wraps each once.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from openai.resources.beta import AsyncBeta as SDKAsyncBeta
from openai.resources.beta import Beta as SDKBeta

from .._unsupported import only
from .chat import AsyncChat, Chat

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM


@only("beta", "chat")
class Beta(SDKBeta):
    """`beta.chat`."""

    _client: VLLM

    @cached_property
    def chat(self) -> Chat:
        """Chat completions."""
        return Chat(self._client)


@only("beta", "chat")
class AsyncBeta(SDKAsyncBeta):
    """`beta.chat`."""

    _client: AsyncVLLM

    @cached_property
    def chat(self) -> AsyncChat:
        """Chat completions."""
        return AsyncChat(self._client)
