"""Parameters of generation, as fields; whatever is unset is not sent, and the server's default holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.load.serializable import Serializable
from pydantic import Field


class Sampling(Serializable):
    """OpenAI's and vLLM's parameters that chat and text completions share."""

    temperature: float | None = None
    """0 is greedy."""
    max_tokens: int | None = None
    """Tokens to generate at the most."""
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
    truncate_prompt_tokens: int | None = None
    """Keep this many tokens of the prompt; -1 for the model's context."""
    truncation_side: str | None = None
    """"left" or "right"."""
    prompt_logprobs: int | None = None
    """Log probabilities of the prompt; not in streams."""
    allowed_token_ids: Sequence[int] | None = None
    """Nothing else is generated."""
    bad_words: Sequence[str] | None = None
    """Never generated."""
    thinking_token_budget: int | None = None
    """Most tokens of reasoning; -1 for no limit."""
    structured_outputs: Mapping[str, Any] | None = None
    """A constraint: one of json, regex, choice, grammar, json_object, structural_tag."""
    priority: int | None = None
    """Lower is sooner, where the server schedules by priority."""
    cache_salt: str | None = None
    """Keeps the prefix cache apart from other tenants'."""
    kv_transfer_params: Mapping[str, Any] | None = None
    """For disaggregated prefill."""
    vllm_xargs: Mapping[str, Any] | None = None
    """For custom logits processors."""
    return_token_ids: bool | None = None
    """Put token ids into `response_metadata`."""
    return_tokens_as_token_ids: bool | None = None
    """Logprobs name tokens by id."""
    extra_body: Mapping[str, Any] | None = None
    """Whatever else the server understands."""
    extra_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Per request, as opposed to `default_headers`; not serialised."""

    def _request(self, names: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a request.

        Args:
            names: fields that are parameters.
            given: of the call; they win over fields, and None in them leaves a parameter out.
        """
        request = {name: value for name in names if (value := getattr(self, name)) is not None}
        if request.get("extra_body") and given.get("extra_body"):
            given = {**given, "extra_body": {**request["extra_body"], **given["extra_body"]}}
        request.update(given)
        return request
