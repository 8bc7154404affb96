"""The fate of each parameter of `responses.create` on the way to a chat completion.

Every name is in exactly one table; a name in none is refused, so that a parameter of a newer SDK
cannot get lost unnoticed. "Advisory" means: sent on under its own name, where vLLM takes no notice of
it and a gateway in front of it may. It promises nothing about the reply, so nothing is lost.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import UnsupportedOperationError

#: Converted by name in request.py.
CONVERTED = frozenset(
    {
        "include",  # logprobs; the rest concerns items that cannot occur, or says what is given anyway
        "input",  # messages
        "instructions",  # a system message in front
        "max_output_tokens",  # max_completion_tokens, without a minimum
        "prompt_cache_options",  # advisory, but for what asks for an answer of its own
        "reasoning",  # reasoning_effort, any string; a summary is advisory: the whole text is given
        "text",  # response_format; `verbosity` is advisory
        "tool_choice",
        "tools",
        "top_logprobs",  # with logprobs=True, which vLLM insists on
    }
)

#: The same in a chat completion. Echoed in the Response, but for `model`: the reply tells it.
SAME = frozenset({"model", "parallel_tool_calls", "temperature", "top_p"})

#: The same, but advisory. Echoed in the Response, but for `service_tier`: the reply tells it.
ADVISORY = frozenset(
    {"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "user"}
)

#: vLLM's own parameters of a chat completion (those of its /v1/responses are among them), and OpenAI's
#: that the Responses API lacks but vLLM's has.
VLLM = frozenset(
    {
        "add_generation_prompt",
        "add_special_tokens",
        "allowed_token_ids",
        "bad_words",
        "cache_salt",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "documents",
        "ec_transfer_params",
        "echo",
        "frequency_penalty",
        "ignore_eos",
        "include_reasoning",
        "include_stop_str_in_output",
        "kv_transfer_params",
        "length_penalty",
        "logit_bias",
        "logprob_token_ids",
        "media_io_kwargs",
        "min_p",
        "min_tokens",
        "mm_processor_kwargs",
        "presence_penalty",
        "priority",
        "prompt_logprobs",
        "repetition_detection",
        "repetition_penalty",
        "request_id",
        "return_prompt_text",
        "return_token_ids",
        "return_weight_versions",
        "return_tokens_as_token_ids",
        "routed_experts_prompt_start",
        "seed",
        "session_id",
        "data_parallel_rank",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop",
        "stop_token_ids",
        "stream_interval",
        "structured_outputs",
        "thinking_token_budget",
        "top_k",
        "truncate_prompt_tokens",
        "truncation_side",
        "use_beam_search",
        "vllm_xargs",
        "watermarking",
    }
)

#: Options of the request itself, and `stream`, which whoever sends the request decides.
REQUEST = frozenset({"extra_body", "extra_headers", "extra_query", "stream", "timeout"})


class NativeOnlyError(UnsupportedOperationError):
    """Something that a chat completion cannot do, and vLLM's own ``/v1/responses`` can."""


class Refusal(NamedTuple):
    """The refusal of a parameter.

    Attributes:
        reason: for the error.
        harmless: which value of it asks for nothing, and is let through.
        native: whether vLLM's own ``/v1/responses`` has it.
    """

    reason: str
    harmless: Callable[[Any], bool] = lambda value: False
    native: bool = False


NATIVE = 'use responses_api="native"'
_STATELESS = f"vLLM's chat completions keep no state: send the earlier items in `input`, or {NATIVE}"
_BACKGROUND = f"a chat completion is answered while one waits: {NATIVE}, on a server that stores responses"
_OPENAI = "this is a service of OpenAI's platform, and vLLM has nothing like it"

REFUSED: dict[str, Refusal] = {
    "access_programs": Refusal(_OPENAI),
    "background": Refusal(_BACKGROUND, lambda value: value is False, native=True),
    "background_options": Refusal(_BACKGROUND),
    "context_management": Refusal("vLLM compacts nothing: shorten `input` yourself", lambda value: not value),
    "conversation": Refusal("vLLM keeps no conversations: send the earlier items in `input`"),
    "enable_response_messages": Refusal(
        f"only vLLM's own /v1/responses has it: {NATIVE}", lambda value: not value, native=True
    ),
    "image": Refusal(
        "vLLM compresses no images; mm_processor_kwargs may set their resolution",
        lambda value: isinstance(value, Mapping) and value.get("context_compression") != "enabled",
    ),
    "max_tool_calls": Refusal(
        "it limits built-in tools, of which there are none here; to stop your own, stop answering their calls"
    ),
    "moderation": Refusal(_OPENAI),
    "n": Refusal("a response has one answer: send the request several times", lambda value: value == 1),
    "previous_input_messages": Refusal(f"send the messages in `input`, or {NATIVE}", native=True),
    "previous_response_id": Refusal(_STATELESS, native=True),
    "prompt": Refusal("vLLM stores no prompt templates: send the text in `instructions` and `input`"),
    "store": Refusal(
        "the reply is made from a chat completion and cannot be retrieved later: leave `store` out, or "
        f"{NATIVE} on a server with VLLM_ENABLE_RESPONSES_API_STORE=1",
        lambda value: value is False,
        native=True,
    ),
    "stream_options": Refusal(
        "nothing is obfuscated, and usage always comes with the last event: leave it out",
        lambda value: (
            isinstance(value, Mapping) and set(value) <= {"include_obfuscation"} and not any(value.values())
        ),
    ),
    "truncation": Refusal(
        "vLLM drops no items of a conversation: shorten `input`, or let truncate_prompt_tokens cut tokens",
        lambda value: value == "disabled",
    ),
}

_HINTS = {
    "functions": "use `tools`",
    "function_call": "use `tool_choice`",
    "logprobs": 'use include=["message.output_text.logprobs"]',
    "max_completion_tokens": "use max_output_tokens",
    "max_tokens": "use max_output_tokens",
    "messages": "use `input`",
    "reasoning_effort": 'use reasoning={"effort": …}',
    "response_format": 'use text={"format": …}',
    "verbosity": 'use text={"verbosity": …}',
}

_KNOWN = CONVERTED | SAME | ADVISORY | VLLM | REQUEST

# In the body of a chat completion these would be ignored, with a 200.
_RESPONSES_ONLY = frozenset({"include", "input", "instructions", "max_output_tokens", "reasoning", "text"})


def refuse(name: str, reason: str, *, native: bool = False) -> UnsupportedOperationError:
    """The error for a parameter that has no equivalent; `native` if vLLM's own ``/v1/responses`` has it."""
    kind = NativeOnlyError if native else UnsupportedOperationError
    return kind(f"responses.create({name}=…)", reason)


def check(params: Mapping[str, object]) -> None:
    """Refuse what a chat completion cannot do.

    Raises:
        UnsupportedOperationError: a parameter that cannot be honoured, or that nobody knows.
    """
    for name, value in params.items():
        if name in REFUSED:
            _check_refused(name, value)
        elif name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, 1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            hint = _HINTS.get(name) or f"{meant}If your server knows it, put it into extra_body"
            raise refuse(name, hint)
    extra_body = params.get("extra_body")
    for name, value in extra_body.items() if isinstance(extra_body, Mapping) else ():
        if name in REFUSED:
            _check_refused(name, value)
        elif name in _RESPONSES_ONLY:
            raise refuse(
                f"extra_body.{name}", "pass it as a keyword argument, extra_body is sent unconverted"
            )


def _check_refused(name: str, value: Any) -> None:
    refusal = REFUSED[name]
    if value is not None and not refusal.harmless(value):
        raise refuse(name, refusal.reason, native=refusal.native)
