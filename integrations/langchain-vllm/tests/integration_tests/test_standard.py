"""langchain-tests' standard integration tests against the simulator.

One class runs them all; these are what is left out, and why:

    test_pdf_inputs, test_pdf_tool_message   vLLM takes no PDF; ChatVLLM says so (test_content.py)
    test_stream_time                         runs on a recording, in cassette_tests
    usage details other than cache_read and  vLLM counts neither audio in nor out, nor cache creation
      reasoning_output
"""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

from langchain_vllm import ChatVLLM, VLLMEmbeddings
from tests.servers import simulator
from tests.usage import CountsDetails


class TestChatVLLM(CountsDetails, ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatVLLM

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "sim-chat", "base_url": simulator().url}

    model_override_value = "sim-adapter"
    supports_json_mode = True
    supports_image_inputs = True
    supports_image_urls = True
    supports_image_tool_message = True
    supports_audio_inputs = True
    supports_video_inputs = True
    supports_anthropic_inputs = True


class TestVLLMEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return VLLMEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"base_url": simulator().url}
