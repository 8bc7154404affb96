"""`…/render`: a request of another route as the tokens and the sampling parameters that it amounts to."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import served
from ..http.errors import SimError, refused
from ..http.options import Options
from ..http.replies import Json, read_json, request_id
from ..requests import responses
from ..requests.anthropic import read_message
from ..requests.chat import ChatRequest, read_chat
from ..requests.generate import demand
from ..requests.sampling import Sampling, StructuredOutputs, check_trusted
from .completions import prompts_of, read_completion
from .constrain import constraints_of
from .messages import chat_of
from .tokens import token_text
from .turns import prepare

_WHOLE, _PIECES = 2, 1
"""vLLM's output kinds: an answer at its end, or what is new of it."""
_DEFAULT_MAX_TOKENS = 16
# What is told only where it is not what it is by default.
_TOLD_IF_SET = {
    **dict.fromkeys(("seed", "allowed_token_ids", "thinking_token_budget", "prompt_logprobs")),
    **{"min_tokens": 0, "ignore_eos": False, "include_stop_str_in_output": False},
}


async def render_chat(request: Request) -> Response:
    """Render a chat completions request."""
    body = read_chat(await read_json(request))
    options = served(request, body.model)
    return Json(_rendered_chat(request_id(request, "chatcmpl", body.request_id), body, options))


async def render_message(request: Request) -> Response:
    """Render a request for an Anthropic message; its errors are not Anthropic's."""
    body = read_message(await read_json(request))
    options = served(request, body.model)
    return Json(_rendered_chat(request_id(request, "chatcmpl"), chat_of(body, options), options))


async def render_response(request: Request) -> Response:
    """Render a Responses request."""
    body = responses.read_responses(await read_json(request))
    options = served(request, body.model)
    if body.previous_response_id is not None:
        message = "previous_response_id is not supported by the stateless render endpoint."
        raise SimError(400, message, "previous_response_id", "invalid_request_error")
    check_trusted(body.model_dump(include={"mm_processor_kwargs", "media_io_kwargs"}))
    id = body.request_id or request_id(request, "resp").replace("-", "_", 1)
    rendered = _rendered_chat(id, responses.as_chat(body), options)
    rendered["sampling_params"]["extra_args"] = {}
    return Json({**rendered, "model": body.model, "reasoning_ended": None, "stream_options": None})


async def render_completion(request: Request) -> Response:
    """Render a completions request: as many prompts as it has."""
    body = read_completion(await read_json(request))
    options = served(request, body.model)
    if body.use_beam_search:
        raise _no_beams()
    id = request_id(request, "cmpl", body.request_id)
    prompts = prompts_of(body, options)
    rendered = []
    for i, (_, tokens) in enumerate(prompts):
        params = _sampling(body, body.max_tokens, options)
        if body.max_tokens == _DEFAULT_MAX_TOKENS:
            del params["max_tokens"]  # vLLM leaves its default out, and generates without a limit then
        if body.logprobs is not None:
            params["logprobs"] = body.logprobs
        name = f"{id}-{i}" if len(prompts) > 1 else id
        rendered.append(_rendered(name, body, tokens, params))
    return Json(rendered)


def _rendered_chat(id: str, body: ChatRequest, options: Options) -> dict[str, Any]:
    if body.use_beam_search:
        raise _no_beams()
    text, tokens = prepare(body, options)
    room = options.max_model_len - len(tokens)
    params = _sampling(body, room if body.max_tokens is None else min(body.max_tokens, room), options)
    params["skip_special_tokens"] = not options.reasoning
    if body.wanted_logprobs is not None:
        params["logprobs"] = body.wanted_logprobs
    told: dict[str, Any] = {}
    if options.reasoning:
        ended = not body.include_reasoning or text.endswith("</think>\n\n")
        told = {"reasoning_ended": ended, "reasoning_parser_kwargs": {"chat_template_kwargs": _kwargs(body)}}
    return {**_rendered(id, body, tokens, params), **told}


def _rendered(id: str, body: Sampling, tokens: list[int], params: dict[str, Any]) -> dict[str, Any]:
    stream_options = body.stream_options.model_dump() if body.stream and body.stream_options else None
    return {
        "request_id": id,
        "token_ids": tokens,
        "token_offsets": _offsets(tokens) if body.return_token_offsets else None,
        "features": None,
        "content_parts": None,
        "sampling_params": params,
        "model": body.model,
        "reasoning_ended": None,
        "reasoning_parser_kwargs": None,
        "return_token_ids": None,
        "output_mode": "tokens",
        "stream": bool(body.stream),
        "stream_options": stream_options,
        "cache_salt": body.cache_salt,
        "priority": body.priority,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
    }


def _sampling(body: Sampling, max_tokens: int | None, options: Options) -> dict[str, Any]:
    """The sampling parameters of a request, all that vLLM tells of them."""
    greedy = body.temperature == 0
    params: dict[str, Any] = {
        "presence_penalty": body.presence_penalty or 0.0,
        "frequency_penalty": body.frequency_penalty or 0.0,
        "repetition_penalty": body.repetition_penalty or 1.0,
        "temperature": 1.0 if body.temperature is None else float(body.temperature),
        "stop": body.stops,
        "stop_token_ids": body.stop_token_ids or [],
        "max_tokens": max_tokens,
        "output_kind": _PIECES if body.stream else _WHOLE,
        "skip_clone": True,
        "bad_words": body.bad_words,
        "skip_reading_prefix_cache": body.prompt_logprobs is not None,
    }
    if not greedy:
        params |= {"top_p": 1.0 if body.top_p is None else body.top_p, "min_p": body.min_p or 0.0}
        params |= {"top_k": body.top_k} if body.top_k else {}
    longest = max(map(len, body.stops), default=0)
    if longest > 1 and not body.include_stop_str_in_output:
        params["output_text_buffer_length"] = longest - 1
    if body.choices != 1:
        params["n"] = body.choices
    for name, usual in _TOLD_IF_SET.items():
        if (value := getattr(body, name)) != usual:
            params[name] = value
    if body.logit_bias:
        params["logit_bias"] = body.logit_bias
    if body.vllm_xargs:
        params["extra_args"] = body.vllm_xargs
    if constraints := _constraints(body):
        params["structured_outputs"] = constraints
    return params


def _constraints(body: Sampling) -> dict[str, Any] | None:
    """The structured outputs of a request; calls that it demands take their place."""
    tag = demand(body) if isinstance(body, ChatRequest) else None
    constraints = StructuredOutputs.model_validate({"structural_tag": tag}) if tag else constraints_of(body)
    return None if constraints is None else {**constraints.model_dump(by_alias=True), **_BACKEND}


_BACKEND = {"_backend": None, "_backend_was_auto": False}


def _kwargs(body: ChatRequest) -> dict[str, Any]:
    """The arguments of the chat template."""
    ending = {
        "add_generation_prompt": body.add_generation_prompt,
        "continue_final_message": body.continue_final_message,
    }
    effort = body.reasoning_effort
    effort_arguments: dict[str, Any] = {} if effort is None else {"reasoning_effort": effort}
    if effort == "none":
        effort_arguments["enable_thinking"] = False
    return {**effort_arguments, **(body.chat_template_kwargs or {}), **ending}


def _offsets(tokens: list[int]) -> list[tuple[int, int]]:
    """The place of each token in the text."""
    offsets, at = [], 0
    for token in tokens:
        end = at + len(token_text(token))
        offsets.append((at, end))
        at = end
    return offsets


def _no_beams() -> SimError:
    return refused("Beam search is not supported by the render endpoint")
