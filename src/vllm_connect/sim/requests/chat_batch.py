"""A request of several conversations: its own checks, and the chat request that each of them is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..answers.answer import Json
from ..http.errors import refused, validated
from .chat import ChatRequest, read_chat
from .messages import AnyMessage
from .sampling import INT64, Stop, StructuredOutputs, TopLogprobs, check_structural_tag

Conversation = Annotated[list[AnyMessage], Field(min_length=1)]


class BatchRequest(BaseModel):
    """The body of `/v1/chat/completions/batch`; unknown fields are ignored, as by vLLM."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    messages: list[Conversation] = Field(min_length=1)
    model: str | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = False
    top_logprobs: TopLogprobs = 0
    logprob_token_ids: list[int] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = 1
    presence_penalty: float | None = None
    response_format: Any = None
    seed: int | None = Field(None, ge=-INT64, le=INT64 - 1)
    stop: Stop = Field(default_factory=list)
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None
    tool_choice: Literal["none"] | None = "none"
    include_reasoning: bool = True
    best_of: int | None = None
    use_beam_search: bool = False
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    watermarking: bool | None = None
    length_penalty: float | None = 1.0
    early_stopping: bool = False
    structured_outputs: StructuredOutputs | None = None
    request_id: str | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template: str | None = None
    chat_template_kwargs: Json | None = None
    media_io_kwargs: dict[str, Json] | None = None
    mm_processor_kwargs: Json | None = None
    priority: int = Field(0, ge=-INT64, le=INT64 - 1)
    cache_salt: str | None = None
    include_stop_str_in_output: bool = False
    guided_decoding_backend: str | None = None
    echo: bool = False
    return_tokens_as_token_ids: bool | None = None
    return_token_ids: bool = False
    stream: bool | None = False


_PASSED = frozenset(BatchRequest.model_fields) - {"messages", "tool_choice"}


def read_batch(data: Any) -> list[ChatRequest]:
    """Check a body and make a chat request of each of its conversations.

    Raises:
        SimError: a 400.
    """
    if isinstance(data, dict):
        _check(data)
    body = validated(BatchRequest, data)
    fields = {name: data[name] for name in body.model_fields_set & _PASSED if data[name] is not None}
    if isinstance(data, dict) and "return_token_ids" not in fields:
        fields["return_token_ids"] = False
    return [read_chat({**fields, "messages": messages}) for messages in data["messages"]]


def _check(data: Json) -> None:
    if data.get("use_beam_search"):
        raise refused(
            "Batch chat completions do not support beam search. Please set `use_beam_search` to False.",
            "use_beam_search",
        )
    if data.get("logprob_token_ids") and not data.get("logprobs"):
        raise refused("when using `logprob_token_ids`, `logprobs` must be set to true.", "logprob_token_ids")
    format = data.get("response_format")
    if isinstance(format, dict) and format.get("type") == "structural_tag":
        check_structural_tag(format)
    if data.get("n", 1) not in (1, None):
        raise refused("Batch chat completions do not support `n > 1`. Please set `n` to 1.", "n", data["n"])
