"""Text completions, with vLLM's own fields typed; a streamed chunk has the same type."""

import openai.types
from openai.types import completion_choice

from ._extras import Extra, stands_in
from .chat import PromptLogprobs
from .usage import CompletionUsage


@stands_in
class CompletionChoice(completion_choice.CompletionChoice):
    """One answer; `index` is prompt number * n + answer number.

    Attributes:
        stop_reason: the stop string or stop token id that ended the answer, None for the end token.
        token_ids: ids of the generated tokens, with `return_token_ids`.
        prompt_token_ids: with `return_token_ids`.
        prompt_logprobs: with `prompt_logprobs=N`.
    """

    finish_reason: str | None = None  # type: ignore[assignment]  # vLLM's own values
    stop_reason = Extra[int | str | None](None)
    token_ids = Extra[list[int] | None](None)
    prompt_token_ids = Extra[list[int] | None](None)
    prompt_logprobs = Extra[PromptLogprobs | None](None)
    routed_experts = Extra[str | None](None)
    weight_versions = Extra[list[dict[str, object]] | None](None)


@stands_in
class Completion(openai.types.Completion):
    """A text completion, or one chunk of it."""

    choices: list[CompletionChoice]  # type: ignore[assignment]  # vLLM's own values
    usage: CompletionUsage | None = None
    service_tier = Extra[str | None](None)
    kv_transfer_params = Extra[dict[str, object] | None](None)
    ec_transfer_params = Extra[dict[str, object] | None](None)
    metrics = Extra[dict[str, object] | None](None)
