"""An LLM on vLLM servers."""

from .base import VLLM
from .tokens import VLLMTokenizer

__all__ = ["VLLM", "VLLMTokenizer"]
