"""One file per operation: a sync and an async class that build a call and hand it to the client.

`Resources` and `AsyncResources` hang them on the clients, and put a refusal in place of everything
else that the SDK's clients offer.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import openai
from typing_extensions import Unpack

from ..types import DetokenizeResponse, TokenizeResponse
from ..unsupported import UnsupportedResource
from .audio import AsyncAudio, Audio
from .chat import AsyncChat, Chat
from .completions import AsyncCompletions, Completions
from .embeddings import AsyncEmbeddings, Embeddings
from .models import AsyncModels, Models
from .rerank import AsyncRerank, Rerank
from .responses import AsyncResponses, Responses
from .scoring import AsyncClassify, AsyncPooling, AsyncScore, Classify, Pooling, Score
from .server import AsyncServer, Server
from .tokens import AsyncTokens, DetokenizeParams, TokenizeParams, Tokens

R = TypeVar("R", bound=type)


def _refuse_rest(sdk_client: type) -> Any:
    """A class decorator: stand-ins for every resource of the SDK's client that the class lacks."""

    def decorate(cls: R) -> R:
        for name in dir(sdk_client):
            attribute = vars(sdk_client).get(name)
            is_resource = isinstance(attribute, functools.cached_property)
            if is_resource and name not in vars(cls) and not name.startswith("with_"):
                setattr(cls, name, UnsupportedResource(name))
        return cls

    return decorate


@_refuse_rest(openai.OpenAI)
class Resources:
    """What a sync client offers."""

    chat = functools.cached_property(lambda self: Chat(self))
    completions = functools.cached_property(lambda self: Completions(self))
    responses = functools.cached_property(lambda self: Responses(self))
    embeddings = functools.cached_property(lambda self: Embeddings(self))
    rerank = functools.cached_property(lambda self: Rerank(self))
    score = functools.cached_property(lambda self: Score(self))
    classify = functools.cached_property(lambda self: Classify(self))
    pooling = functools.cached_property(lambda self: Pooling(self))
    models = functools.cached_property(lambda self: Models(self))
    audio = functools.cached_property(lambda self: Audio(self))
    server = functools.cached_property(lambda self: Server(self))
    tokens = functools.cached_property(lambda self: Tokens(self))

    def tokenize(self, **params: Unpack[TokenizeParams]) -> TokenizeResponse:
        """Count and number the tokens of a text, or of a conversation as the model would see it.

        Args:
            params: `prompt`, one text, or `messages`; see `TokenizeParams`.
        """
        return self.tokens.tokenize(**params)

    def detokenize(self, **params: Unpack[DetokenizeParams]) -> DetokenizeResponse:
        """Turn token ids back into text.

        Args:
            params: `tokens`; see `DetokenizeParams`.
        """
        return self.tokens.detokenize(**params)


@_refuse_rest(openai.AsyncOpenAI)
class AsyncResources:
    """What an async client offers."""

    chat = functools.cached_property(lambda self: AsyncChat(self))
    completions = functools.cached_property(lambda self: AsyncCompletions(self))
    responses = functools.cached_property(lambda self: AsyncResponses(self))
    embeddings = functools.cached_property(lambda self: AsyncEmbeddings(self))
    rerank = functools.cached_property(lambda self: AsyncRerank(self))
    score = functools.cached_property(lambda self: AsyncScore(self))
    classify = functools.cached_property(lambda self: AsyncClassify(self))
    pooling = functools.cached_property(lambda self: AsyncPooling(self))
    models = functools.cached_property(lambda self: AsyncModels(self))
    audio = functools.cached_property(lambda self: AsyncAudio(self))
    server = functools.cached_property(lambda self: AsyncServer(self))
    tokens = functools.cached_property(lambda self: AsyncTokens(self))

    async def tokenize(self, **params: Unpack[TokenizeParams]) -> TokenizeResponse:
        """Count and number the tokens of a text or conversation; see `Resources.tokenize`."""
        return await self.tokens.tokenize(**params)

    async def detokenize(self, **params: Unpack[DetokenizeParams]) -> DetokenizeResponse:
        """Turn token ids back into text; see `Resources.detokenize`."""
        return await self.tokens.detokenize(**params)
