"""langchain-tests' standard unit tests; none is skipped."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from langchain_vllm import ChatVLLM, VLLMEmbeddings, register

register()  # load(allowed_objects="all") loads what langchain-core's table lists

URL = "http://localhost:8000"
ENVIRONMENT = {"VLLM_BASE_URL": "http://gpu1:8000/v1", "VLLM_API_KEY": "secret"}
EXPECTED = {"base_url": "http://gpu1:8000/v1", "api_key": "secret"}


class TestChatVLLM(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatVLLM

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "llama", "base_url": URL}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return ENVIRONMENT, {"model": "llama"}, EXPECTED


class TestVLLMEmbeddings(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return VLLMEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "bge", "base_url": URL}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return ENVIRONMENT, {"model": "bge"}, EXPECTED
