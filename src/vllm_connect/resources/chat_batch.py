"""Several conversations in one request: POST /v1/chat/completions/batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from openai.types.chat import ChatCompletionMessageParam
from typing_extensions import TypedDict

from .._calls.call import Call, json_call
from .._wire.body import RequestOptions, names, read_params
from .._wire.objects import NotAReply, Reader, in_order
from ..types import ChatCompletion
from ._params import StructuredOutputs

_OPERATION = "chat.completions.batch"
_PATH = "/v1/chat/completions/batch"


class _Sampling(TypedDict, total=False):
    frequency_penalty: float | None
    length_penalty: float | None
    logit_bias: Mapping[str, float] | None
    logprob_token_ids: Iterable[int] | None
    logprobs: bool | None
    max_completion_tokens: int | None
    max_tokens: int | None
    min_p: float | None
    presence_penalty: float | None
    repetition_penalty: float | None
    response_format: Mapping[str, object] | None
    seed: int | None
    stop: str | list[str] | None
    structured_outputs: StructuredOutputs | Mapping[str, object] | None
    temperature: float | None
    top_k: int | None
    top_logprobs: int | None
    top_p: float | None
    watermarking: bool | None


class ChatBatchParams(_Sampling, RequestOptions, total=False):
    """Everything that `chat.completions.batch` accepts: less than `create`, and no tools."""

    model: str | None
    messages: Iterable[Iterable[ChatCompletionMessageParam | Mapping[str, object]]]
    """The conversations."""
    add_generation_prompt: bool | None
    cache_salt: str | None
    chat_template: str | None
    chat_template_kwargs: Mapping[str, object] | None
    continue_final_message: bool | None
    echo: bool | None
    include_reasoning: bool | None
    include_stop_str_in_output: bool | None
    media_io_kwargs: Mapping[str, object] | None
    mm_processor_kwargs: Mapping[str, object] | None
    priority: int | None
    request_id: str | None
    return_token_ids: bool | None
    return_tokens_as_token_ids: bool | None
    user: str | None
    session_id: str | None
    data_parallel_rank: int | None


_KNOWN = names(ChatBatchParams)
_read = Reader(ChatCompletion, "choices", filled=True)


def batch_call(params: Mapping[str, object]) -> Call[ChatCompletion]:
    """Build the call; the reply has one choice for each conversation, in their order."""
    body, options = read_params(_OPERATION, params, _KNOWN)
    conversations = [list(messages) for messages in body.get("messages", ())]
    if not conversations or not all(conversations):
        raise TypeError(f"{_OPERATION}: messages must be a list of conversations, none of them empty")
    if any(isinstance(message, str) for messages in conversations for message in messages):
        raise TypeError(f"{_OPERATION}: messages must be a list of conversations, not one conversation")
    body["messages"] = conversations

    def read(content: bytes) -> ChatCompletion:
        answer = _read(content)
        if len(answer.choices) != len(conversations):
            raise NotAReply(f"{len(answer.choices)} choices for {len(conversations)} conversations")
        answer.choices = in_order(answer.choices, lambda choice: choice.index)
        return answer

    return json_call(_OPERATION, (_PATH,), body, options, read)
