"""One file per operation: a sync and an async class that build a call and hand it to the client.

`Resources` and `AsyncResources` hang them on the clients, and put a refusal in place of everything
else that the SDK's clients offer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

import openai
from typing_extensions import Unpack

from .._unsupported import UnsupportedResource
from .bulk import AsyncBulk, Bulk

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM
    from ..types import DetokenizeResponse, TokenizeResponse
    from .audio import AsyncAudio, Audio
    from .beta import AsyncBeta, Beta
    from .chat import AsyncChat, Chat
    from .completions import AsyncCompletions, Completions
    from .decisions import AsyncDecisions, Decisions
    from .embeddings import AsyncEmbeddings, Embeddings
    from .generate import AsyncGenerate, Generate
    from .generative_scoring import AsyncGenerativeScoring, GenerativeScoring
    from .lora import AsyncLora, Lora
    from .messages import AsyncMessages, Messages
    from .models import AsyncModels, Models
    from .rerank import AsyncRerank, Rerank
    from .responses import AsyncResponses, Responses
    from .scoring import AsyncClassify, AsyncPooling, AsyncScore, Classify, Pooling, Score
    from .server import AsyncServer, Server
    from .tokens import AsyncTokens, DetokenizeParams, TokenizeParams, Tokens

R = TypeVar("R", bound=type)


def _refuse_rest(sdk_client: type) -> Callable[[R], R]:
    """A class decorator: stand-ins for every resource of the SDK's client that the class lacks."""

    def decorate(cls: R) -> R:
        for name in dir(sdk_client):
            attribute = vars(sdk_client).get(name)
            is_resource = isinstance(attribute, functools.cached_property)
            if is_resource and name not in vars(cls) and not name.startswith("with_"):
                setattr(cls, name, UnsupportedResource(name))
        return cls

    return decorate


def _sync(resources: object) -> VLLM:
    """The client that `Resources` are part of."""
    return cast("VLLM", resources)


def _async(resources: object) -> AsyncVLLM:
    """The client that `AsyncResources` are part of."""
    return cast("AsyncVLLM", resources)


@_refuse_rest(openai.OpenAI)
class Resources(Bulk):
    """The resources of a sync client."""

    @functools.cached_property
    def chat(self) -> Chat:
        """Chat completions."""
        from .chat import Chat

        return Chat(_sync(self))

    @functools.cached_property
    def beta(self) -> Beta:
        """Chat completions, under the name by which older code calls them."""
        from .beta import Beta

        return Beta(_sync(self))

    @functools.cached_property
    def completions(self) -> Completions:
        """Text completions."""
        from .completions import Completions

        return Completions(_sync(self))

    @functools.cached_property
    def responses(self) -> Responses:
        """The Responses API."""
        from .responses import Responses

        return Responses(_sync(self))

    @functools.cached_property
    def embeddings(self) -> Embeddings:
        """Embeddings."""
        from .embeddings import Embeddings

        return Embeddings(_sync(self))

    @functools.cached_property
    def rerank(self) -> Rerank:
        """Documents by relevance to a query."""
        from .rerank import Rerank

        return Rerank(_sync(self))

    @functools.cached_property
    def score(self) -> Score:
        """Scores of how well texts match."""
        from .scoring import Score

        return Score(_sync(self))

    @functools.cached_property
    def classify(self) -> Classify:
        """Classes of texts."""
        from .scoring import Classify

        return Classify(_sync(self))

    @functools.cached_property
    def pooling(self) -> Pooling:
        """Whatever a pooling model gives."""
        from .scoring import Pooling

        return Pooling(_sync(self))

    @functools.cached_property
    def models(self) -> Models:
        """The models of every key."""
        from .models import Models

        return Models(_sync(self))

    @functools.cached_property
    def audio(self) -> Audio:
        """Transcriptions and translations."""
        from .audio import Audio

        return Audio(_sync(self))

    @functools.cached_property
    def messages(self) -> Messages:
        """Anthropic's Messages."""
        from .messages import Messages

        return Messages(_sync(self))

    @functools.cached_property
    def generate(self) -> Generate:
        """Tokens in, tokens out."""
        from .generate import Generate

        return Generate(_sync(self))

    @functools.cached_property
    def generative_scoring(self) -> GenerativeScoring:
        """Probabilities of some tokens to be next."""
        from .generative_scoring import GenerativeScoring

        return GenerativeScoring(_sync(self))

    @functools.cached_property
    def lora(self) -> Lora:
        """LoRA adapters."""
        from .lora import Lora

        return Lora(_sync(self))

    @functools.cached_property
    def decisions(self) -> Decisions:
        """Typed questions, answered by probabilities."""
        from .decisions import Decisions

        return Decisions(_sync(self))

    @functools.cached_property
    def server(self) -> Server:
        """Health, version, load and metrics."""
        from .server import Server

        return Server(_sync(self))

    @functools.cached_property
    def tokens(self) -> Tokens:
        """Tokenize and detokenize."""
        from .tokens import Tokens

        return Tokens(_sync(self))

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
class AsyncResources(AsyncBulk):
    """The resources of an async client."""

    @functools.cached_property
    def chat(self) -> AsyncChat:
        """Chat completions."""
        from .chat import AsyncChat

        return AsyncChat(_async(self))

    @functools.cached_property
    def beta(self) -> AsyncBeta:
        """Chat completions, under the name by which older code calls them."""
        from .beta import AsyncBeta

        return AsyncBeta(_async(self))

    @functools.cached_property
    def completions(self) -> AsyncCompletions:
        """Text completions."""
        from .completions import AsyncCompletions

        return AsyncCompletions(_async(self))

    @functools.cached_property
    def responses(self) -> AsyncResponses:
        """The Responses API."""
        from .responses import AsyncResponses

        return AsyncResponses(_async(self))

    @functools.cached_property
    def embeddings(self) -> AsyncEmbeddings:
        """Embeddings."""
        from .embeddings import AsyncEmbeddings

        return AsyncEmbeddings(_async(self))

    @functools.cached_property
    def rerank(self) -> AsyncRerank:
        """Documents by relevance to a query."""
        from .rerank import AsyncRerank

        return AsyncRerank(_async(self))

    @functools.cached_property
    def score(self) -> AsyncScore:
        """Scores of how well texts match."""
        from .scoring import AsyncScore

        return AsyncScore(_async(self))

    @functools.cached_property
    def classify(self) -> AsyncClassify:
        """Classes of texts."""
        from .scoring import AsyncClassify

        return AsyncClassify(_async(self))

    @functools.cached_property
    def pooling(self) -> AsyncPooling:
        """Whatever a pooling model gives."""
        from .scoring import AsyncPooling

        return AsyncPooling(_async(self))

    @functools.cached_property
    def models(self) -> AsyncModels:
        """The models of every key."""
        from .models import AsyncModels

        return AsyncModels(_async(self))

    @functools.cached_property
    def audio(self) -> AsyncAudio:
        """Transcriptions and translations."""
        from .audio import AsyncAudio

        return AsyncAudio(_async(self))

    @functools.cached_property
    def messages(self) -> AsyncMessages:
        """Anthropic's Messages."""
        from .messages import AsyncMessages

        return AsyncMessages(_async(self))

    @functools.cached_property
    def generate(self) -> AsyncGenerate:
        """Tokens in, tokens out."""
        from .generate import AsyncGenerate

        return AsyncGenerate(_async(self))

    @functools.cached_property
    def generative_scoring(self) -> AsyncGenerativeScoring:
        """Probabilities of some tokens to be next."""
        from .generative_scoring import AsyncGenerativeScoring

        return AsyncGenerativeScoring(_async(self))

    @functools.cached_property
    def lora(self) -> AsyncLora:
        """LoRA adapters."""
        from .lora import AsyncLora

        return AsyncLora(_async(self))

    @functools.cached_property
    def decisions(self) -> AsyncDecisions:
        """Typed questions, answered by probabilities."""
        from .decisions import AsyncDecisions

        return AsyncDecisions(_async(self))

    @functools.cached_property
    def server(self) -> AsyncServer:
        """Health, version, load and metrics."""
        from .server import AsyncServer

        return AsyncServer(_async(self))

    @functools.cached_property
    def tokens(self) -> AsyncTokens:
        """Tokenize and detokenize."""
        from .tokens import AsyncTokens

        return AsyncTokens(_async(self))

    async def tokenize(self, **params: Unpack[TokenizeParams]) -> TokenizeResponse:
        """Count and number the tokens of a text or conversation; see `Resources.tokenize`."""
        return await self.tokens.tokenize(**params)

    async def detokenize(self, **params: Unpack[DetokenizeParams]) -> DetokenizeResponse:
        """Turn token ids back into text; see `Resources.detokenize`."""
        return await self.tokens.detokenize(**params)
