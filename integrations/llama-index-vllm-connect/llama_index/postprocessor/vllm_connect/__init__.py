"""Reranking by vLLM servers."""

from .base import VLLMRerank

__all__ = ["VLLMRerank"]
