"""vLLM's own parameters of generation, shared by chat and text completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from typing_extensions import TypedDict


class StructuredOutputs(TypedDict, total=False):
    """Exactly one constraint, and options (vLLM >= 0.11).

    With a reasoning parser the constraint begins after the reasoning.
    """

    json: str | Mapping[str, object]
    regex: str
    choice: Sequence[str]
    grammar: str
    """EBNF or Lark."""
    json_object: bool
    structural_tag: str
    """JSON text."""
    disable_any_whitespace: bool
    disable_additional_properties: bool
    whitespace_pattern: str


class SamplingParams(TypedDict, total=False):
    """Parameters that OpenAI lacks; an unset one takes the model's own generation_config.json."""

    # sampling
    top_k: int | None
    min_p: float | None
    repetition_penalty: float | None
    length_penalty: float | None
    use_beam_search: bool | None
    watermarking: bool | None
    stop_token_ids: Sequence[int] | None
    include_stop_str_in_output: bool | None
    ignore_eos: bool | None
    min_tokens: int | None
    skip_special_tokens: bool | None
    spaces_between_special_tokens: bool | None
    truncate_prompt_tokens: int | None
    """Keep this many tokens of the prompt; -1 for the model's context."""
    truncation_side: str | None
    """"left" or "right"."""
    prompt_logprobs: int | None
    """-1 for the whole vocabulary; not with stream."""
    logprob_token_ids: Sequence[int] | None
    allowed_token_ids: Sequence[int] | None
    bad_words: Sequence[str] | None
    thinking_token_budget: int | None
    """-1 for no limit."""
    repetition_detection: Mapping[str, int] | None
    # constraints
    structured_outputs: StructuredOutputs | Mapping[str, object] | None
    # routing and identity
    priority: int | None
    """Lower is sooner; needs --scheduling-policy priority."""
    request_id: str | None
    session_id: str | None
    """A conversation: it stays on one of several servers, and routers read it as X-Session-ID."""
    data_parallel_rank: int | None
    """The engine of a data-parallel server, from 0; sent as X-data-parallel-rank."""
    cache_salt: str | None
    kv_transfer_params: Mapping[str, object] | None
    ec_transfer_params: Mapping[str, object] | None
    vllm_xargs: Mapping[str, object] | None
    stream_interval: int | None
    # what else to return
    return_tokens_as_token_ids: bool | None
    return_token_ids: bool | None
    return_weight_versions: bool | None
    """Which weights made which tokens, while a trainer exchanges them (vLLM >= 0.33)."""
    routed_experts_prompt_start: int | None
