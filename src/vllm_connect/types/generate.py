"""Tokens in, tokens out: what render, generate and derender answer."""

from __future__ import annotations

from openai import BaseModel

from .chat import ChatCompletionChunk
from .completion import Completion
from .usage import CompletionUsage


class GenerateRequest(BaseModel):
    """A rendered prompt, which `generate.create` takes as it is.

    Attributes:
        token_ids: the prompt.
        token_offsets: where each token stands in the text, with `return_token_offsets`.
        features: what the prompt has of images and sounds.
        sampling_params: what of the request says how to sample.
        reasoning_ended: whether the prompt leaves no room for reasoning.
    """

    request_id: str | None = None
    token_ids: list[int]
    token_offsets: list[tuple[int, int]] | None = None
    features: dict[str, object] | None = None
    content_parts: list[dict[str, object]] | None = None
    sampling_params: dict[str, object]
    model: str | None = None
    reasoning_ended: bool | None = None
    reasoning_parser_kwargs: dict[str, object] | None = None
    parse_context: dict[str, object] | None = None
    return_token_ids: bool | None = None
    output_mode: str | None = None
    stream: bool | None = None
    stream_options: dict[str, object] | None = None
    cache_salt: str | None = None
    priority: int | None = None
    kv_transfer_params: dict[str, object] | None = None
    ec_transfer_params: dict[str, object] | None = None


class GenerateChoice(BaseModel):
    """One answer, or what a chunk adds to it.

    Attributes:
        token_ids: the generated tokens.
        text: their text, with `output_mode="text"`.
        stop_reason: the stop string or token that ended the answer, None for the end token.
        logprobs: of each token; without texts unless `output_mode="text"`.
        routed_experts: base64 of a .npy array, where the server was started to return it.
    """

    index: int
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    token_ids: list[int] | None = None
    text: str | None = None
    logprobs: dict[str, object] | None = None
    routed_experts: str | None = None
    sampling_mask: list[list[int]] | None = None
    weight_versions: list[dict[str, object]] | None = None


class GenerateChunk(BaseModel):
    """One chunk of streamed tokens."""

    request_id: str | None = None
    output_mode: str | None = None
    choices: list[GenerateChoice]
    usage: CompletionUsage | None = None
    prompt_token_ids: list[int] | None = None
    mm_placeholders: dict[str, object] | None = None
    metrics: dict[str, object] | None = None


class GenerateResponse(BaseModel):
    """The generated tokens.

    Attributes:
        request_id: names the request, for `generate.abort`.
        prompt_token_ids: with `return_token_ids`.
    """

    request_id: str | None = None
    output_mode: str | None = None
    model: str | None = None
    created: int | None = None
    choices: list[GenerateChoice]
    usage: CompletionUsage | None = None
    prompt_token_ids: list[int] | None = None
    mm_placeholders: dict[str, object] | None = None
    metrics: dict[str, object] | None = None
    prompt_logprobs: list[dict[str, dict[str, object]] | None] | None = None
    prompt_token_id_logprobs: str | None = None
    kv_transfer_params: dict[str, object] | None = None
    ec_transfer_params: dict[str, object] | None = None


class DerenderedChatChunk(BaseModel):
    """A chunk of tokens as a chunk of chat, and the state to pass with the next one."""

    chunk: ChatCompletionChunk
    stream_state: dict[str, object]


class DerenderedChunk(BaseModel):
    """A chunk of tokens as a chunk of text, and the state to pass with the next one."""

    chunk: Completion
    stream_state: dict[str, object]
