"""LangChain for vLLM servers."""

from ._version import __version__
from .chat_models import ChatVLLM
from .cross_encoder import VLLMCrossEncoder
from .embeddings import VLLMEmbeddings
from .llms import VLLMCompletion
from .registry import register
from .rerank import VLLMRerank

__all__ = [
    "ChatVLLM",
    "VLLMCompletion",
    "VLLMCrossEncoder",
    "VLLMEmbeddings",
    "VLLMRerank",
    "__version__",
    "register",
]
