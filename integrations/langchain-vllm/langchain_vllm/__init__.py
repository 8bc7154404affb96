"""LangChain for vLLM servers."""

from typing import TYPE_CHECKING

from ._version import __version__
from .chat_models import ChatVLLM
from .cross_encoder import VLLMCrossEncoder
from .embeddings import VLLMEmbeddings
from .llms import VLLMCompletion
from .registry import register
from .rerank import VLLMRerank

if TYPE_CHECKING:
    from .decisions import VLLMDecisions

__all__ = [
    "ChatVLLM",
    "VLLMCompletion",
    "VLLMCrossEncoder",
    "VLLMDecisions",
    "VLLMEmbeddings",
    "VLLMRerank",
    "__version__",
    "register",
]


def __getattr__(name: str) -> object:
    """`VLLMDecisions`, which needs langchain-core >= 1.8."""
    if name == "VLLMDecisions":
        from .decisions import VLLMDecisions

        return VLLMDecisions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
