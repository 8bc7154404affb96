"""LLMs on vLLM servers."""

from .base import VLLM
from .responses import VLLMResponses
from .tokens import VLLMTokenizer

__all__ = ["VLLM", "VLLMResponses", "VLLMTokenizer"]
