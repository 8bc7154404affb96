"""Answers of tokenize and detokenize."""

from __future__ import annotations

from openai import BaseModel


class TokenizeResponse(BaseModel):
    """Tokens of a prompt or of a conversation.

    Attributes:
        count: how many tokens.
        max_model_len: the model's context, in tokens.
        tokens: their ids.
        token_strs: their texts, with `return_token_strs=True`.
    """

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeResponse(BaseModel):
    """The text of token ids."""

    prompt: str
