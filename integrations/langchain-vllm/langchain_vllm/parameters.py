"""Parameters of requests, as fields; whatever is unset is not sent, and the server's default holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from langchain_core.load.serializable import Serializable
from pydantic import Field, StrictBool, StrictInt, field_validator
from vllm_connect.adapters import without_switches

from .wire import Json


class Parameters(Serializable):
    """Parameters of every operation."""

    model: str | None = None
    """The name under which the server serves it. Default: the server's model."""
    truncate_prompt_tokens: int | None = None
    """Keep this many tokens; -1 for the model's context. Otherwise too long a text is an error."""
    truncation_side: str | None = None
    """"left" or "right"."""
    priority: int | None = None
    """Lower is sooner, where the server schedules by priority."""
    cache_salt: str | None = None
    """Keeps the prefix cache apart from other tenants'."""
    extra_body: Mapping[str, object] | None = None
    """Whatever else the server understands."""
    extra_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Per request, as opposed to `default_headers`; not serialised, since they may hold secrets."""

    def _parameters(self, kind: type[Parameters], arguments: Mapping[str, Any] | None = None) -> Json:
        """The parameters of a request.

        Args:
            kind: whose fields are its parameters.
            arguments: with the call; they win over fields, those in `extra_body` too, and None among them
                leaves a parameter out.
        """
        request = {name: value for name in kind.model_fields if (value := getattr(self, name)) is not None}
        if not arguments:
            return request
        body = {name: value for name, value in (self.extra_body or {}).items() if name not in arguments}
        request.pop("extra_body", None)
        request.update(arguments)
        if (of_call := arguments.get("extra_body", {})) is not None and (body := {**body, **of_call}):
            request["extra_body"] = body
        return request


class GenerationParameters(Parameters):
    """OpenAI's and vLLM's parameters that chat and text completions share."""

    temperature: float | None = None
    """0 is greedy."""
    top_p: float | None = None
    """Nucleus sampling."""
    n: int | None = None
    """Answers per prompt: all in `generate`, the first in `invoke` and `stream`."""
    stop: list[str] | None = Field(default=None, alias="stop_sequences")
    """Strings that end the answer."""
    seed: int | None = None
    """Makes sampling reproducible."""
    frequency_penalty: float | None = None
    """OpenAI's."""
    presence_penalty: float | None = None
    """OpenAI's."""
    logit_bias: Mapping[str, float] | None = None
    """Per token id."""
    user: str | None = None
    """OpenAI's."""
    stream_options: Mapping[str, object] | None = None
    """e.g. ``{"continuous_usage_stats": True}``: token counts with every chunk, which add up."""
    response_format: Mapping[str, object] | None = None
    """OpenAI's; `ChatVLLM.with_structured_output` sets it."""
    session_id: str | None = None
    """A conversation, which stays on one of several servers, and which routers read as `X-Session-ID`."""
    data_parallel_rank: int | None = None
    """The engine of a data-parallel server, from 0."""

    top_k: int | None = None
    """vLLM's; as are all that follow. See vLLM's documentation of `SamplingParams`."""
    min_p: float | None = None
    """Least probability, relative to the likeliest token's."""
    repetition_penalty: float | None = None
    """Above 1 discourages what was said already."""
    length_penalty: float | None = None
    """For beam search."""
    use_beam_search: bool | None = None
    """Beam search with `n` beams."""
    stop_token_ids: Sequence[int] | None = None
    """Tokens that end the answer."""
    include_stop_str_in_output: bool | None = None
    """Whether a stop string is part of the answer."""
    ignore_eos: bool | None = None
    """Whether to go on after the end token."""
    min_tokens: int | None = None
    """Tokens to generate at least."""
    skip_special_tokens: bool | None = None
    """Default True."""
    spaces_between_special_tokens: bool | None = None
    """Default True."""
    prompt_logprobs: int | None = None
    """Log probabilities of the prompt; not in streams."""
    allowed_token_ids: Sequence[int] | None = None
    """Nothing else is generated."""
    bad_words: Sequence[str] | None = None
    """Never generated."""
    thinking_token_budget: int | None = None
    """Most tokens of reasoning; -1 for no limit."""
    structured_outputs: Mapping[str, object] | None = None
    """A constraint: one of json, regex, choice, grammar, json_object, structural_tag."""
    add_special_tokens: bool | None = None
    """Default: False in chats, whose template writes them, True in completions."""
    kv_transfer_params: Mapping[str, object] | None = None
    """For disaggregated prefill."""
    vllm_xargs: Mapping[str, object] | None = None
    """For custom logits processors."""
    return_token_ids: bool | None = None
    """Put token ids into `response_metadata`."""
    return_tokens_as_token_ids: bool | None = None
    """Logprobs name tokens by id."""

    @field_validator("stop", mode="before")
    @classmethod
    def _read_stop(cls, stop: object) -> object:
        if isinstance(stop, str):
            raise ValueError(f"stop is a list of texts: stop=[{stop!r}]")
        return stop


class ChatParameters(GenerationParameters):
    """Those of chat completions."""

    max_tokens: int | Literal["fit"] | None = None
    """Tokens to generate at the most; "fit" for what the context leaves after the prompt."""
    thinking: StrictBool | Annotated[StrictInt, Field(ge=0)] | None = None
    """Whether the model thinks first, or in how many tokens, in the words that its chat template knows."""
    reasoning_effort: str | None = None
    """none, low, medium, high, …: what the model's chat template understands."""
    include_reasoning: bool | None = None
    """Whether the server sends the reasoning. Default True."""
    logprobs: bool | None = None
    """Put log probabilities into `response_metadata`."""
    top_logprobs: int | None = None
    """How many alternatives per token."""
    parallel_tool_calls: bool | None = None
    """False: one tool call per answer."""
    chat_template: str | None = None
    """Refused by the server unless started with --trust-request-chat-template."""
    chat_template_kwargs: Mapping[str, object] | None = None
    """e.g. ``{"enable_thinking": False}``."""
    add_generation_prompt: bool | None = None
    """Default True."""
    continue_final_message: bool | None = None
    """Go on with the last, an assistant's, message; needs ``add_generation_prompt=False``."""
    documents: Sequence[Mapping[str, str]] | None = None
    """For templates that know retrieval: ``{"title": …, "text": …}``."""
    mm_processor_kwargs: Mapping[str, object] | None = None
    """For the model's image or audio processor."""
    media_io_kwargs: Mapping[str, object] | None = None
    """How media are decoded."""

    def _parameters(self, kind: type[Parameters], arguments: Mapping[str, Any] | None = None) -> Json:
        """See `Parameters`; what a call says of thinking wins over what a field tells the template."""
        request = super()._parameters(kind, arguments)
        if not arguments or arguments.get("thinking") is None:
            return request
        template = request.get("chat_template_kwargs")
        if template and "chat_template_kwargs" not in arguments:
            request["chat_template_kwargs"] = without_switches(template)
        body, of_call = request.get("extra_body") or {}, arguments.get("extra_body") or {}
        template = body.get("chat_template_kwargs")
        if template and "chat_template_kwargs" not in of_call:
            request["extra_body"] = {**body, "chat_template_kwargs": without_switches(template)}
        return request


class CompletionParameters(GenerationParameters):
    """Those of text completions."""

    max_tokens: int | None = None
    """Tokens to generate at the most."""
    best_of: int | None = None
    """Of so many answers the best `n`."""
    echo: bool | None = None
    """Return the prompt, too."""
    suffix: str | None = None
    """What comes after the answer, for models that fill in."""
    logprobs: int | None = None
    """How many alternatives per token."""
    prompt_embeds: str | list[str] | None = None
    """Base64 of a saved torch tensor; needs --enable-prompt-embeds."""


class PoolingParameters(Parameters):
    """Those that embeddings, rerank and score share."""

    use_activation: bool | None = None
    """False: raw logits of a classifier or reranker, vectors that are not normalised."""
    mm_processor_kwargs: Mapping[str, object] | None = None
    """For the model's image or audio processor."""
    user: str | None = None
    """OpenAI's."""


class EmbeddingParameters(PoolingParameters):
    """Those of embeddings."""

    dimensions: int | None = None
    """Shorter vectors, of models that can (Matryoshka)."""
    embed_dtype: str | None = None
    """What vectors travel as: float32 (default), float16, bfloat16."""


class ScoreParameters(PoolingParameters):
    """Those of score, and of rerank."""

    instruction: str | None = None
    """For models that were trained with one."""
    max_tokens_per_query: int | None = None
    """Cuts the query: the first text of a pair."""
    max_tokens_per_doc: int | None = None
    """Cuts documents: the second texts."""
