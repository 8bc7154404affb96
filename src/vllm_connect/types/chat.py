"""Chat completions and their chunks, with vLLM's own fields typed.

Every class is a subclass of the SDK's class of the same name, so `isinstance` and attribute access
work as with OpenAI. `finish_reason` is any string: vLLM also says "abort" and "repetition".
"""

from openai.types.chat import chat_completion, chat_completion_chunk, chat_completion_message

from ._extras import Extra, Reasoning, stands_in
from .usage import CompletionUsage

#: Per prompt token: None for the first, else {token id as a string: {logprob, rank, decoded_token}}.
PromptLogprobs = list[dict[str, dict[str, object]] | None]


@stands_in
class ChatCompletionMessage(chat_completion_message.ChatCompletionMessage):
    """An assistant message.

    Attributes:
        reasoning: what a reasoning parser took out of the content, whatever the server calls it; None if it
            sent none.
    """

    reasoning = Reasoning[str | None](None)


@stands_in
class Choice(chat_completion.Choice):
    """One answer.

    Attributes:
        stop_reason: the stop string or stop token id that ended the answer, None for the end token.
        token_ids: ids of the generated tokens, with `return_token_ids`.
        routed_experts: base64 of a .npy array, where the server was started to return it.
        weight_versions: which weights made which tokens, with `return_weight_versions` (vLLM >= 0.33).
    """

    finish_reason: str | None = None  # type: ignore[assignment]  # vLLM's own values
    message: ChatCompletionMessage
    stop_reason = Extra[int | str | None](None)
    token_ids = Extra[list[int] | None](None)
    routed_experts = Extra[str | None](None)
    weight_versions = Extra[list[dict[str, object]] | None](None)


@stands_in
class ChatCompletion(chat_completion.ChatCompletion):
    """A chat completion.

    Attributes:
        prompt_logprobs: with `prompt_logprobs=N`.
        prompt_token_ids: with `return_token_ids`.
        prompt_text: the rendered prompt, with `return_prompt_text`.
        kv_transfer_params: for disaggregated prefill.
        ec_transfer_params: for a disaggregated encoder.
        metrics: times in ms, with the server's --enable-per-request-metrics.
    """

    choices: list[Choice]  # type: ignore[assignment]  # vLLM's own values
    usage: CompletionUsage | None = None
    prompt_logprobs = Extra[PromptLogprobs | None](None)
    prompt_token_ids = Extra[list[int] | None](None)
    prompt_text = Extra[str | None](None)
    kv_transfer_params = Extra[dict[str, object] | None](None)
    ec_transfer_params = Extra[dict[str, object] | None](None)
    metrics = Extra[dict[str, object] | None](None)


@stands_in
class ChoiceDelta(chat_completion_chunk.ChoiceDelta):
    """The addition that a chunk makes.

    Attributes:
        reasoning: as in `ChatCompletionMessage`, but `""` if the server sent none.
    """

    reasoning = Reasoning[str]("")


@stands_in
class ChunkChoice(chat_completion_chunk.Choice):
    """One choice of a chunk; fields as in `Choice`."""

    delta: ChoiceDelta
    finish_reason: str | None = None  # type: ignore[assignment]  # vLLM's own values
    stop_reason = Extra[int | str | None](None)
    token_ids = Extra[list[int] | None](None)
    weight_versions = Extra[list[dict[str, object]] | None](None)


@stands_in
class ChatCompletionChunk(chat_completion_chunk.ChatCompletionChunk):
    """One chunk of a streamed chat completion; fields as in `ChatCompletion`.

    `choices` is empty in the chunk that carries the usage.
    """

    choices: list[ChunkChoice]  # type: ignore[assignment]  # vLLM's own values
    usage: CompletionUsage | None = None
    prompt_token_ids = Extra[list[int] | None](None)
    prompt_text = Extra[str | None](None)
    kv_transfer_params = Extra[dict[str, object] | None](None)
    metrics = Extra[dict[str, object] | None](None)
