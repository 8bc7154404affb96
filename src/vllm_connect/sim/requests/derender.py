"""Requests that make an answer of generated tokens: what `generate` answered, and to what."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, field_validator, model_validator
from typing_extensions import Self

from ..answers.answer import Json
from ..http.errors import errors_in, malformed

_NotNegative = Annotated[int, Field(ge=0)]
_LONGEST_WINDOW = 1024


class GeneratedChoice(BaseModel):
    """One choice of what `generate` answered."""

    index: int
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    token_ids: list[int] | None = None
    logprobs: Json | None = None

    @field_validator("token_ids")
    @classmethod
    def _not_negative(cls, tokens: list[int] | None) -> list[int] | None:
        if any(token < 0 for token in tokens or ()):
            raise ValueError("token_ids must not contain negative values")
        return tokens


class FinishedChoice(GeneratedChoice):
    """A choice that is complete."""

    finish_reason: str | None = "stop"


class Usage(BaseModel):
    """The number of tokens."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0


class Generated(BaseModel):
    """An answer of `generate`, as a whole."""

    request_id: str = ""
    output_mode: Literal["tokens"] = "tokens"
    choices: list[FinishedChoice]
    prompt_token_ids: list[_NotNegative] | None = None
    prompt_logprobs: list[Any] | None = None
    kv_transfer_params: Json | None = None


class GeneratedChunk(BaseModel):
    """A chunk of what `generate` answered."""

    request_id: str = ""
    output_mode: Literal["tokens"] = "tokens"
    choices: list[GeneratedChoice]
    usage: Usage | None = None
    prompt_token_ids: list[_NotNegative] | None = None


class StreamState(BaseModel):
    """The state that a client carries from one chunk to the next."""

    prev_tokens: list[str] = Field(default_factory=list)
    prefix_offset: int = Field(default=0, ge=0)
    read_offset: int = Field(default=0, ge=0)
    role_sent: bool = False
    logprob_context_token_ids: list[int] = Field(default_factory=list, max_length=4)
    logprob_text_offset: int = Field(default=0, ge=0)
    output_token_ids: list[int] = Field(default_factory=list)
    output_chunk_lens: list[Annotated[int, Field(gt=0)]] = Field(default_factory=list)
    tools_streamed: bool = False
    last_tool_call_ids: list[str] = Field(default_factory=list)

    @field_validator("prev_tokens")
    @classmethod
    def _is_short(cls, tokens: list[str]) -> list[str]:
        if len(tokens) > _LONGEST_WINDOW:
            raise ValueError(f"prev_tokens length ({len(tokens)}) exceeds maximum ({_LONGEST_WINDOW})")
        return tokens

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total, count = sum(self.output_chunk_lens), len(self.output_token_ids)
        if total != count:
            raise ValueError(
                f"output_chunk_lens must sum to len(output_token_ids) (got sum={total}, "
                f"len(output_token_ids)={count})"
            )
        return self


class DerenderChatRequest(BaseModel):
    """A whole chat. Errors tell the names of these four classes, which are vLLM's."""

    stream: Literal[False] = False
    model: str | None = None
    generate_response: Generated
    prompt_tokens: int | None = None
    prompt_token_ids: list[_NotNegative] | None = None
    chat_request: Json | None = None


class DerenderChatStreamRequest(BaseModel):
    """A chunk of a chat."""

    stream: Literal[True]
    model: str | None = None
    generate_chunk: GeneratedChunk
    stream_state: StreamState | None = None
    prompt_tokens: int | None = None
    prompt_token_ids: list[_NotNegative] | None = None
    chat_request: Json | None = None


class DerenderCompletionRequest(BaseModel):
    """A whole completion, of one prompt or several."""

    stream: Literal[False] = False
    model: str | None = None
    generate_responses: list[Generated]
    prompt_tokens: list[int] | None = None
    prompt_token_ids: list[list[_NotNegative] | None] | None = None
    completion_request: Json | None = None

    @model_validator(mode="after")
    def _has_as_many(self) -> Self:
        count = len(self.generate_responses)
        for name in ("prompt_tokens", "prompt_token_ids"):
            told = getattr(self, name)
            if told is not None and len(told) != count:
                raise ValueError(
                    f"{name} length ({len(told)}) must equal generate_responses length ({count})"
                )
        return self


class DerenderCompletionStreamRequest(BaseModel):
    """A chunk of a completion."""

    stream: Literal[True]
    model: str | None = None
    generate_chunk: GeneratedChunk
    stream_state: StreamState | None = None
    prompt_tokens: int | None = None
    prompt_token_ids: list[_NotNegative] | None = None
    completion_request: Json | None = None


_CHAT: TypeAdapter[DerenderChatRequest | DerenderChatStreamRequest] = TypeAdapter(
    DerenderChatRequest | DerenderChatStreamRequest
)
_TEXT: TypeAdapter[DerenderCompletionRequest | DerenderCompletionStreamRequest] = TypeAdapter(
    DerenderCompletionRequest | DerenderCompletionStreamRequest
)
_T = TypeVar("_T")


def read_chat_tokens(data: Any) -> DerenderChatRequest | DerenderChatStreamRequest:
    """Check a body and make a request of it.

    Raises:
        SimError: a 400 with what is wrong with it as a whole, and as a chunk.
    """
    return _read(_CHAT, data)


def read_text_tokens(data: Any) -> DerenderCompletionRequest | DerenderCompletionStreamRequest:
    """Check a body and make a request of it.

    Raises:
        SimError: a 400 with what is wrong with it as a whole, and as a chunk.
    """
    return _read(_TEXT, data)


def _read(forms: TypeAdapter[_T], data: Any) -> _T:
    try:
        return forms.validate_python(data, from_attributes=True)
    except ValidationError as error:
        raise malformed(errors_in(error)) from None
