"""Operations that LiteLLM closes to custom providers: rerank, score, classify, tokenize, transcription.

Each takes what `litellm.completion` takes to say where: `model`, `api_base`, `api_key`, `keys`, `config`,
`timeout`, `extra_headers`, `max_retries`; and the parameters of the client's operation. Errors are LiteLLM's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litellm.types.rerank import RerankResponse
from litellm.types.utils import TranscriptionResponse

from vllm_connect import VLLM, AsyncVLLM
from vllm_connect.types import ClassificationResponse, ScoreResponse, TokenizeResponse

from .clients import clients
from .errors import call_errors
from .replies import rerank_response, transcription_response
from .requests import Arguments, Request

Document = str | Mapping[str, object]


def rerank(model: str, query: str, documents: Sequence[Document], **params: Any) -> RerankResponse:
    """Order documents by relevance to a query.

    Args:
        model: with or without the provider.
        query: what they are to be relevant to.
        documents: texts, or ``{"text": …}``.
        params: the server, and vLLM's parameters: `top_n`, `return_documents` …
    """
    with call_errors(model):
        client, request = _sync(model, params, query=query, documents=documents)
        return rerank_response(client.rerank.create(**request))


async def arerank(model: str, query: str, documents: Sequence[Document], **params: Any) -> RerankResponse:
    """Order documents by relevance to a query; see `rerank`."""
    with call_errors(model):
        client, request = _async(model, params, query=query, documents=documents)
        return rerank_response(await client.rerank.create(**request))


def score(model: str, **params: Any) -> ScoreResponse:
    """Score pairs of texts.

    Args:
        model: with or without the provider.
        params: the server, and vLLM's parameters: `queries` and `documents`, or `text_1` and `text_2` …
    """
    with call_errors(model):
        client, request = _sync(model, params)
        return client.score.create(**request)


async def ascore(model: str, **params: Any) -> ScoreResponse:
    """Score pairs of texts; see `score`."""
    with call_errors(model):
        client, request = _async(model, params)
        return await client.score.create(**request)


def classify(model: str, **params: Any) -> ClassificationResponse:
    """Classify texts.

    Args:
        model: with or without the provider.
        params: the server, and vLLM's parameters: `input` or `messages` …
    """
    with call_errors(model):
        client, request = _sync(model, params)
        return client.classify.create(**request)


async def aclassify(model: str, **params: Any) -> ClassificationResponse:
    """Classify texts; see `classify`."""
    with call_errors(model):
        client, request = _async(model, params)
        return await client.classify.create(**request)


def tokenize(model: str, **params: Any) -> TokenizeResponse:
    """Count and number the tokens of a text or a conversation, as the server does.

    Args:
        model: with or without the provider.
        params: the server, and vLLM's parameters: `prompt` or `messages` …
    """
    with call_errors(model):
        client, request = _sync(model, params)
        return client.tokenize(**request)


async def atokenize(model: str, **params: Any) -> TokenizeResponse:
    """Count and number the tokens of a text or a conversation; see `tokenize`."""
    with call_errors(model):
        client, request = _async(model, params)
        return await client.tokenize(**request)


def transcription(model: str, file: object, **params: Any) -> TranscriptionResponse:
    """Write down what is said in a recording.

    Args:
        model: with or without the provider.
        file: as `litellm.transcription` takes it.
        params: the server, and vLLM's parameters: `language`, `response_format` …
    """
    with call_errors(model):
        client, request = _sync(model, params, file=file)
        return transcription_response(client.audio.transcriptions.create(**request))


async def atranscription(model: str, file: object, **params: Any) -> TranscriptionResponse:
    """Write down what is said in a recording; see `transcription`."""
    with call_errors(model):
        client, request = _async(model, params, file=file)
        return transcription_response(await client.audio.transcriptions.create(**request))


def _sync(model: str, params: Mapping[str, Any], **own: object) -> tuple[VLLM, dict[str, Any]]:
    request = _request(model, params, own)
    return clients.get(VLLM, request.settings), request.params


def _async(model: str, params: Mapping[str, Any], **own: object) -> tuple[AsyncVLLM, dict[str, Any]]:
    request = _request(model, params, own)
    return clients.get(AsyncVLLM, request.settings), request.params


def _request(model: str, params: Mapping[str, Any], own: Mapping[str, object]) -> Request:
    if params.get("stream"):
        raise TypeError("there are no streams here: use vllm_connect.VLLM")
    options = dict(params)
    base, key, timeout = (options.pop(name, None) for name in ("api_base", "api_key", "timeout"))
    arguments = Arguments(model, base, key, options, timeout=timeout, retries=options.get("max_retries"))
    return arguments.request(**own)
