"""Token counts."""

from openai.types import completion_usage

from ._extras import Extra, stands_in


@stands_in
class PromptTokensDetails(completion_usage.PromptTokensDetails):
    """Details of the prompt, with the server's --enable-prompt-tokens-details.

    Attributes:
        created_cache_tokens: tokens newly written to the prefix cache.
        multimodal_tokens: tokens that stand for images, audio and video.
    """

    created_cache_tokens = Extra[int | None](None)
    multimodal_tokens = Extra[int | None](None)


@stands_in
class CompletionUsage(completion_usage.CompletionUsage):
    """Token counts of a completion."""

    completion_tokens: int = 0
    prompt_tokens_details: PromptTokensDetails | None = None
