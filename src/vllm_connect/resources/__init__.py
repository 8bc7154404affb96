"""One file per operation: a sync and an async class that build a call and hand it to the client.

`Resources` and `AsyncResources` hang them on the clients, and put a refusal in place of everything
else that the SDK's clients offer.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

import openai
from typing_extensions import Unpack

from .._unsupported import UnsupportedResource

if TYPE_CHECKING:
    from ..types import DetokenizeResponse, TokenizeResponse
    from .audio import AsyncAudio, Audio
    from .beta import AsyncBeta, Beta
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

    @functools.cached_property
    def chat(self: Any) -> Chat:
        """Chat completions."""
        from .chat import Chat

        return Chat(self)

    @functools.cached_property
    def beta(self: Any) -> Beta:
        """What older code calls chat completions by."""
        from .beta import Beta

        return Beta(self)

    @functools.cached_property
    def completions(self: Any) -> Completions:
        """Text completions."""
        from .completions import Completions

        return Completions(self)

    @functools.cached_property
    def responses(self: Any) -> Responses:
        """The Responses API."""
        from .responses import Responses

        return Responses(self)

    @functools.cached_property
    def embeddings(self: Any) -> Embeddings:
        """Embeddings."""
        from .embeddings import Embeddings

        return Embeddings(self)

    @functools.cached_property
    def rerank(self: Any) -> Rerank:
        """Documents by relevance to a query."""
        from .rerank import Rerank

        return Rerank(self)

    @functools.cached_property
    def score(self: Any) -> Score:
        """How well texts match."""
        from .scoring import Score

        return Score(self)

    @functools.cached_property
    def classify(self: Any) -> Classify:
        """Classes of texts."""
        from .scoring import Classify

        return Classify(self)

    @functools.cached_property
    def pooling(self: Any) -> Pooling:
        """Whatever a pooling model gives."""
        from .scoring import Pooling

        return Pooling(self)

    @functools.cached_property
    def models(self: Any) -> Models:
        """The models of every key."""
        from .models import Models

        return Models(self)

    @functools.cached_property
    def audio(self: Any) -> Audio:
        """Transcriptions and translations."""
        from .audio import Audio

        return Audio(self)

    @functools.cached_property
    def server(self: Any) -> Server:
        """Health, version, load and metrics."""
        from .server import Server

        return Server(self)

    @functools.cached_property
    def tokens(self: Any) -> Tokens:
        """Tokenize and detokenize."""
        from .tokens import Tokens

        return Tokens(self)

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

    @functools.cached_property
    def chat(self: Any) -> AsyncChat:
        """Chat completions."""
        from .chat import AsyncChat

        return AsyncChat(self)

    @functools.cached_property
    def beta(self: Any) -> AsyncBeta:
        """What older code calls chat completions by."""
        from .beta import AsyncBeta

        return AsyncBeta(self)

    @functools.cached_property
    def completions(self: Any) -> AsyncCompletions:
        """Text completions."""
        from .completions import AsyncCompletions

        return AsyncCompletions(self)

    @functools.cached_property
    def responses(self: Any) -> AsyncResponses:
        """The Responses API."""
        from .responses import AsyncResponses

        return AsyncResponses(self)

    @functools.cached_property
    def embeddings(self: Any) -> AsyncEmbeddings:
        """Embeddings."""
        from .embeddings import AsyncEmbeddings

        return AsyncEmbeddings(self)

    @functools.cached_property
    def rerank(self: Any) -> AsyncRerank:
        """Documents by relevance to a query."""
        from .rerank import AsyncRerank

        return AsyncRerank(self)

    @functools.cached_property
    def score(self: Any) -> AsyncScore:
        """How well texts match."""
        from .scoring import AsyncScore

        return AsyncScore(self)

    @functools.cached_property
    def classify(self: Any) -> AsyncClassify:
        """Classes of texts."""
        from .scoring import AsyncClassify

        return AsyncClassify(self)

    @functools.cached_property
    def pooling(self: Any) -> AsyncPooling:
        """Whatever a pooling model gives."""
        from .scoring import AsyncPooling

        return AsyncPooling(self)

    @functools.cached_property
    def models(self: Any) -> AsyncModels:
        """The models of every key."""
        from .models import AsyncModels

        return AsyncModels(self)

    @functools.cached_property
    def audio(self: Any) -> AsyncAudio:
        """Transcriptions and translations."""
        from .audio import AsyncAudio

        return AsyncAudio(self)

    @functools.cached_property
    def server(self: Any) -> AsyncServer:
        """Health, version, load and metrics."""
        from .server import AsyncServer

        return AsyncServer(self)

    @functools.cached_property
    def tokens(self: Any) -> AsyncTokens:
        """Tokenize and detokenize."""
        from .tokens import AsyncTokens

        return AsyncTokens(self)

    async def tokenize(self, **params: Unpack[TokenizeParams]) -> TokenizeResponse:
        """Count and number the tokens of a text or conversation; see `Resources.tokenize`."""
        return await self.tokens.tokenize(**params)

    async def detokenize(self, **params: Unpack[DetokenizeParams]) -> DetokenizeResponse:
        """Turn token ids back into text; see `Resources.detokenize`."""
        return await self.tokens.detokenize(**params)
