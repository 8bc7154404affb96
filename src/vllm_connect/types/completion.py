"""Text completions, with vLLM's own fields declared; a streamed chunk has the same type."""

from __future__ import annotations

import openai.types
from openai.types import completion_choice

from .chat import PromptLogprobs
from .usage import CompletionUsage


class CompletionChoice(completion_choice.CompletionChoice):
    """One answer; `index` is prompt number * n + answer number.

    Attributes:
        stop_reason: the stop string or stop token id that ended the answer, None for the end token.
        token_ids: ids of the generated tokens, with `return_token_ids`.
        prompt_token_ids: with `return_token_ids`.
        prompt_logprobs: with `prompt_logprobs=N`.
    """

    finish_reason: str | None = None  # type: ignore[assignment]  # vLLM's own values
    stop_reason: int | str | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None
    prompt_logprobs: PromptLogprobs | None = None
    routed_experts: str | None = None


class Completion(openai.types.Completion):
    """A text completion, or one chunk of it."""

    choices: list[CompletionChoice]  # type: ignore[assignment]  # vLLM's own values
    usage: CompletionUsage | None = None
    service_tier: str | None = None
    kv_transfer_params: dict[str, object] | None = None
    ec_transfer_params: dict[str, object] | None = None
    metrics: dict[str, object] | None = None
