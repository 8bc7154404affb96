"""A request for tokens from tokens: its fields, and what a rendered prompt and its sampling amount to."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from typing_extensions import Self

from ..answers.answer import Json
from ..answers.tokens import decode
from ..http.errors import errors_in, malformed, validated
from .chat import ChatRequest
from .prompt_reading import read_prompt
from .sampling import INT64, Sampling, StreamOptions, check_cache_salt, check_sampling

_OWN = ("logprobs", "structured_outputs")
_CALLED = re.compile(r'\\"name\\": \\"([^"\\]+)\\"')


class SamplingParams(Sampling):
    """vLLM's own sampling parameters. Errors tell the name of the class, which is vLLM's."""

    logprobs: int | None = None
    detokenize: bool = True


class ReasoningParserKwargs(BaseModel):
    """The arguments of the reasoning parser."""

    model_config = ConfigDict(extra="forbid")

    chat_template_kwargs: Json = Field(default_factory=dict)


class Features(BaseModel):
    """The images and sounds of a prompt."""

    mm_hashes: dict[str, list[str]]
    mm_placeholders: dict[str, list[Json]]


class GenerateRequest(BaseModel):
    """The body of `/inference/v1/generate`."""

    model_config = ConfigDict(protected_namespaces=())

    request_id: str = ""
    token_ids: list[int] = Field(min_length=1)
    token_offsets: list[tuple[int, int]] | None = None
    features: Features | None = None
    content_parts: list[Json] | None = None
    sampling_params: SamplingParams
    model: str | None = None
    reasoning_ended: bool | None = None
    reasoning_parser_kwargs: ReasoningParserKwargs | None = None
    return_token_ids: bool | None = None
    output_mode: Literal["tokens", "text"] = "tokens"
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    cache_salt: str | None = None
    priority: int = Field(0, ge=-INT64, le=INT64 - 1)
    kv_transfer_params: Json | None = None
    ec_transfer_params: Json | None = None

    @field_validator("token_ids")
    @classmethod
    def _not_negative(cls, tokens: list[int]) -> list[int]:
        if any(token < 0 for token in tokens):
            raise ValueError("token_ids must not contain negative values")
        return tokens

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        if self.output_mode != "tokens" and not self.sampling_params.detokenize:
            raise ValueError(
                f"output_mode={self.output_mode!r} requires sampling_params.detokenize to be true"
            )
        return self


def read_generate(data: Any) -> GenerateRequest:
    """Check a body and make a request of it.

    Raises:
        SimError: a 400.
    """
    if isinstance(data, dict):
        if data.get("cache_salt") is not None:
            check_cache_salt(data["cache_salt"])
        if "sampling_params" in data:
            _check_params(data["sampling_params"])
    return validated(GenerateRequest, data)


def _check_params(params: Any) -> None:
    """Refuse sampling parameters; vLLM tells first that they are no object of its own."""
    try:
        sampling = SamplingParams.model_validate(params)
    except ValidationError as error:
        place = ("body", "sampling_params")
        other = {
            "type": "is_instance_of",
            "loc": place,
            "msg": "Input should be an instance of SamplingParams",
            "input": params,
            "ctx": {"class": "SamplingParams"},
        }
        errors = [{**each, "loc": (*place, *each["loc"][1:])} for each in errors_in(error)]
        if not isinstance(params, dict):
            kind = {"type": "dict_type", "loc": place, "msg": "Input should be a valid dictionary"}
            errors = [{**kind, "input": params}]
        raise malformed([other, *errors]) from None
    check_sampling(sampling)


def as_chat(request: GenerateRequest) -> ChatRequest | None:
    """The chat request whose prompt this is; `None` if it is a prompt of another kind."""
    conversation = read_prompt(decode(request.token_ids))
    if conversation is None:
        return None
    sampling = request.sampling_params
    data = sampling.model_dump(exclude_unset=True, by_alias=True, exclude=set(_OWN))
    data["messages"] = conversation.messages
    if conversation.quiet:
        data["chat_template_kwargs"] = {"enable_thinking": False}
    if conversation.open_ended:
        data |= {"continue_final_message": True, "add_generation_prompt": False}
    if sampling.logprobs is not None:
        data |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    constraints = sampling.structured_outputs
    if conversation.functions:
        data["tools"] = [{"type": "function", "function": function} for function in conversation.functions]
        data["tool_choice"] = "auto"
    if constraints and constraints.structural_tag and (choice := _demanded(constraints.structural_tag)):
        data["tool_choice"] = choice
    elif constraints:
        data["structured_outputs"] = constraints.model_dump(by_alias=True)
    # Where the reasoning has ended before, a constraint binds from the first token.
    data["include_reasoning"] = not request.reasoning_ended
    return ChatRequest.model_validate(data)


def _demanded(tag: str) -> Json | str | None:
    """The tool choice that became a structural tag; `None` if the tag is another one."""
    form = json.loads(tag).get("format") or {}
    names = _CALLED.findall(json.dumps([each.get("begin") for each in form.get("tags") or ()]))
    if form.get("type") != "tags_with_separator" or not names:
        return None
    if not form.get("stop_after_first"):
        return "required"
    return {"type": "function", "function": {"name": names[0]}}


def demand(request: ChatRequest) -> str | None:
    """The structural tag that vLLM makes of a tool choice which demands calls; `None` if it does not."""
    choice = request.tool_choice
    if choice in (None, "none", "auto") or not request.tools:
        return None
    named = None if isinstance(choice, str) else choice.function.name
    tags = []
    for tool in request.tools:
        function = tool.function
        if named in (None, function.name):
            schema = (function.parameters or {}) if function.strict else True
            content: Json = {"type": "json_schema", "json_schema": schema, "style": "json"}
            content |= {"any_order": False, "max_whitespace_cnt": None, "excludes": []}
            for feed in ("\n", ""):
                begin = f'<tool_call>{feed}{{"name": "{function.name}", "arguments": '
                end = f"}}{feed}</tool_call>"
                tags.append({"type": "tag", "begin": begin, "content": content, "end": end})
    form = {"type": "tags_with_separator", "tags": tags, "separator": "", "at_least_one": True}
    form["stop_after_first"] = named is not None
    return json.dumps({"type": "structural_tag", "format": form})
