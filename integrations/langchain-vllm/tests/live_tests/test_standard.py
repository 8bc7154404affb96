"""The standard integration tests against real vLLM servers with tiny models.

Each server has its model under one name; the other one that overrides need is an alias of the key.

Left out, besides what the simulator's class leaves out (see integration_tests/test_standard.py):

    images on TestChatVLLM        tiny-chat takes none; TestImages asks tiny-vision
    test_audio_inputs             none of the tiny chat models hears
    image URLs                    the server would have to reach the internet; the images go as data
"""

from __future__ import annotations

from typing import Any, ClassVar

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

from langchain_vllm import ChatVLLM, VLLMEmbeddings
from tests.servers import live_url
from tests.usage import CountsDetails


class OfServer:
    """Which of the servers a suite asks."""

    server: ClassVar[str]

    def connection(self) -> dict[str, Any]:
        """Arguments that say where it is."""
        aliases = {"tiny-alias": f"tiny-{self.server}"}
        return {"keys": [{"name": self.server, "url": live_url(self.server), "aliases": aliases}]}


class TestChatVLLM(OfServer, CountsDetails, ChatModelIntegrationTests):
    server = "chat"

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatVLLM

    @property
    def chat_model_params(self) -> dict[str, Any]:
        # A tiny model does not always end what it writes into an arbitrary schema.
        return {"model": f"tiny-{self.server}", "temperature": 0, "max_tokens": 300, **self.connection()}

    model_override_value = "tiny-alias"
    supports_json_mode = True
    supports_anthropic_inputs = True


class TestImages(TestChatVLLM):
    """tiny-vision, which is tiny-chat with eyes; it is asked not to think, which it does badly."""

    server = "vision"
    supported_usage_metadata_details = {"invoke": [], "stream": []}  # noqa: RUF012

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "chat_template_kwargs": {"enable_thinking": False}}

    supports_image_inputs = True
    supports_image_tool_message = True


class TestVLLMEmbeddings(OfServer, EmbeddingsIntegrationTests):
    server = "embed"

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return VLLMEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "tiny-embed", **self.connection()}
