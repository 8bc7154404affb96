"""Embeddings from vLLM servers."""

from .base import VLLMEmbedding

__all__ = ["VLLMEmbedding"]
