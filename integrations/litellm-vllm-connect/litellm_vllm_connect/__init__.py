"""LiteLLM on vLLM servers: the provider `vllm-connect/`, and what LiteLLM closes to providers beside it."""

from ._version import __version__
from .operations import (
    aclassify,
    arerank,
    ascore,
    atokenize,
    atranscription,
    classify,
    rerank,
    score,
    tokenize,
    transcription,
)
from .provider import VLLMConnect, handler, register

__all__ = [
    "VLLMConnect",
    "__version__",
    "aclassify",
    "arerank",
    "ascore",
    "atokenize",
    "atranscription",
    "classify",
    "handler",
    "register",
    "rerank",
    "score",
    "tokenize",
    "transcription",
]
