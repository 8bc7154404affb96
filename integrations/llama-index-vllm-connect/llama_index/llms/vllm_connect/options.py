"""Generation options: the fields of the LLM that become parameters of every request.

A field that is not set is not sent, so that the model's own generation_config.json holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from llama_index_vllm_connect.connection import Parameters
from llama_index_vllm_connect.content import Json
from llama_index_vllm_connect.usual_names import advice_for_call
from vllm_connect.adapters import without_switches

# Fields that /v1/completions, which uses no chat template, does not take.
OF_CHATS = (
    "thinking",
    "enable_thinking",
    "reasoning_effort",
    "chat_template_kwargs",
    "include_reasoning",
    "mm_processor_kwargs",
)

TWO_SWITCHES = "pass either thinking= or enable_thinking=, not both"
NO_FIT = "no max_tokens='fit': unset, it is what the context leaves by `metadata.num_output`"
_THINKING = ("thinking", "enable_thinking")


class GenerationOptions(BaseModel):
    """Parameters of generation, under vLLM's names."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), hide_input_in_errors=True)

    temperature: float | None = Field(default=None, ge=0)
    max_tokens: Annotated[int, Field(gt=0)] | Literal["fit"] | None = Field(
        default=None,
        description="Most tokens of an answer, reasoning included; 'fit' for what the context leaves after "
        "the prompt. Unset: up to the model's context; in mode 'completion' what `metadata.num_output` says, "
        "since vLLM would stop after 16.",
    )
    min_tokens: int | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    length_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    include_stop_str_in_output: bool | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    bad_words: list[str] | None = None
    allowed_token_ids: list[int] | None = None
    logit_bias: dict[int | str, float] | None = None
    logprobs: bool | None = Field(default=None, description="Tell the probability of every token.")
    top_logprobs: int | None = Field(default=None, description="And of this many alternatives.")
    prompt_logprobs: int | None = Field(default=None, description="Not with streams.")
    truncate_prompt_tokens: int | None = Field(
        default=None, description="Keep this many tokens of the prompt; -1 for the model's context."
    )
    structured_outputs: Json | None = Field(
        default=None,
        description='One constraint: {"choice": […]}, {"regex": …}, {"json": …}, {"grammar": …}, '
        '{"structural_tag": …}.',
    )
    thinking: StrictBool | Annotated[StrictInt, Field(ge=0)] | None = Field(
        default=None,
        description="Whether the model thinks first, or in how many tokens, in the words that its chat "
        "template knows.",
    )
    enable_thinking: bool | None = Field(
        default=None,
        description="The same, sent under this very name, which nobody asks the server about before.",
    )
    reasoning_effort: str | None = None
    thinking_token_budget: int | None = Field(default=None, description="-1 for no limit.")
    include_reasoning: bool | None = Field(default=None, description="False hides the reasoning.")
    chat_template_kwargs: Json | None = Field(
        default=None, description="What the model's chat template takes beyond messages and tools."
    )
    mm_processor_kwargs: Json | None = None
    session_id: str | None = Field(
        default=None,
        description="A conversation, which stays on one of several servers, and which routers read.",
    )
    data_parallel_rank: int | None = Field(
        default=None, description="The engine of a data-parallel server, from 0."
    )
    priority: int | None = Field(default=None, description="Lower is sooner.")
    cache_salt: str | None = None
    vllm_xargs: Json | None = None
    kv_transfer_params: Json | None = None
    additional_kwargs: Parameters = Field(
        default_factory=dict,
        description="Any further parameters of every request; what only your server knows goes into "
        '{"extra_body": {…}}.',
    )

    def generation_params(self, arguments: Mapping[str, Any], mode: Literal["chat", "completion"]) -> Json:
        """The parameters of a request.

        Args:
            arguments: those of this very call, which win over the fields.
            mode: which operation they are for.
        """
        _check_names(arguments, mode)
        of_call = [name for name in _THINKING if arguments.get(name) is not None]
        if len(of_call) > 1:
            raise ValueError(TWO_SWITCHES)
        params = {name: value for name in _SENT if (value := getattr(self, name)) is not None}
        params |= self.additional_kwargs
        params |= arguments
        own = self.additional_kwargs
        of_fields = {
            name: value for name, value in (own.get("extra_body") or {}).items() if name not in arguments
        }
        if body := _merged(of_fields, arguments.get("extra_body")):
            params["extra_body"] = body
        else:
            params.pop("extra_body", None)
        if mode == "completion":
            _count_logprobs(params)
            return params
        if of_call == ["enable_thinking"]:
            params.pop("thinking", None)
        here = _merged(_template_kwargs_in_body(arguments), arguments.get("chat_template_kwargs"))
        template = _merged(
            self.chat_template_kwargs, own.get("chat_template_kwargs"), _template_kwargs_in_body(own), here
        )
        # Where both say something, the call's own word counts, and the template's own name before ours.
        thinking = params.pop("enable_thinking", None)
        if of_call == ["thinking"]:
            template = without_switches(template) | here
        elif thinking is not None and "enable_thinking" not in here:
            template["enable_thinking"] = thinking
        params.pop("chat_template_kwargs", None)
        if template:
            params["chat_template_kwargs"] = template
        if body.pop("chat_template_kwargs", None) is not None and not body:
            del params["extra_body"]
        return params


def _check_names(arguments: Mapping[str, Any], mode: Literal["chat", "completion"]) -> None:
    """Refuse parameters of a call that would have no effect, with what to use instead.

    Raises:
        TypeError: A name that other integrations use.
        ValueError: A parameter of chat templates, without one.
    """
    for name in arguments:
        if advice := advice_for_call(name):
            raise TypeError(f"there is no {name}=: use {advice}")
        if mode == "completion" and name in OF_CHATS:
            raise ValueError(f"mode 'completion' has no chat template, and no place for {name}=")
    if mode == "completion" and arguments.get("max_tokens") == "fit":
        raise ValueError(f"mode 'completion' has {NO_FIT}")


def _merged(*parts: Mapping[str, Any] | None) -> Json:
    """All parts in one, of which later ones win."""
    merged: Json = {}
    for part in parts:
        merged |= part or {}
    return merged


def _template_kwargs_in_body(arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Those in an `extra_body`, which the client would let replace all others."""
    return (arguments.get("extra_body") or {}).get("chat_template_kwargs")


def _count_logprobs(params: Json) -> None:
    """/v1/completions knows only how many alternatives are wanted."""
    alternatives = params.pop("top_logprobs", None)
    if params.get("logprobs") is True:
        params["logprobs"] = alternatives or 0
    elif params.get("logprobs") is False:
        del params["logprobs"]


_SENT = tuple(name for name in GenerationOptions.model_fields if name != "additional_kwargs")
