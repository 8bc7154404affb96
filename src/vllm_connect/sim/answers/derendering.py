"""`…/derender`: generated tokens as the answer of another route, whole or a chunk at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import served
from ..http.errors import SimError, refused
from ..http.options import Options
from ..http.replies import Json, new_id, now, read_json
from ..requests.chat import ChatRequest, NamedTool, read_chat
from ..requests.derender import (
    DerenderChatRequest,
    DerenderChatStreamRequest,
    DerenderCompletionRequest,
    DerenderCompletionStreamRequest,
    Generated,
    GeneratedChoice,
    GeneratedChunk,
    StreamState,
    Usage,
    read_chat_tokens,
    read_text_tokens,
)
from ..requests.sampling import MOST_CHOICES
from . import chat
from .generation import Generation
from .reading_back import read_tokens
from .tokens import SPECIALS, THINK, decode, token_text
from .turns import Turn, thinks
from .usage import brief_usage

_CONTEXT = 4
_NO_DETAILS = {"prompt_tokens_details": None, "completion_tokens_details": None}
_CHAT_NEEDED = (
    "chat_request is required when a tool or reasoning parser is configured because plain detokenization "
    "would leak raw parser markup into content."
)
_PROMPT_NEEDED = (
    "prompt_token_ids is required when a tool or reasoning parser is configured. Without it parse_delta "
    "cannot tell whether the prompt left reasoning open (e.g. a chat template that pre-opens <think>) and "
    "would misclassify reasoning content as plain content."
)


async def derender_chat(request: Request) -> Response:
    """Answer with the chat completion, or a chunk of it, that tokens are."""
    body = read_chat_tokens(await read_json(request))
    chat_request = None if body.chat_request is None else read_chat(body.chat_request)
    options = served(request, body.model)
    if isinstance(body, DerenderChatStreamRequest):
        return Json(_chat_chunk(body, chat_request, options))
    return Json(_chat(body, chat_request, options))


async def derender_completion(request: Request) -> Response:
    """Answer with the completion, or a chunk of it, that tokens are."""
    body = read_text_tokens(await read_json(request))
    options = served(request, body.model)
    if isinstance(body, DerenderCompletionStreamRequest):
        return Json(_text_chunk(body, options))
    return Json(_texts(body, options))


def _chat(body: DerenderChatRequest, chat_request: ChatRequest | None, options: Options) -> dict[str, Any]:
    generated = body.generate_response
    _check_size([generated], options)
    _check_prompt(body.prompt_token_ids, options)
    if chat_request is None:
        raise refused(_CHAT_NEEDED)
    reply = chat.Reply(generated.request_id or new_id(), chat_request, options)
    generations = [_generation(choice, chat_request, options) for choice in generated.choices]
    whole = reply.whole(Turn(chat_request, "", [], generations))
    demanded = chat_request.tool_choice == "required" or isinstance(chat_request.tool_choice, NamedTool)
    for told, choice in zip(whole["choices"], generated.choices, strict=True):
        told["index"] = choice.index
        if not demanded:
            told["message"]["content"] = told["message"]["content"] or None
    count = sum(len(choice.token_ids or ()) for choice in generated.choices)
    return {
        **whole,
        "system_fingerprint": None,
        "usage": {**brief_usage(body.prompt_tokens or 0, count), **_NO_DETAILS},
        "prompt_logprobs": generated.prompt_logprobs,
        "prompt_token_ids": None,
        "prompt_text": None,
        "kv_transfer_params": generated.kv_transfer_params,
        "ec_transfer_params": None,
    }


def _read(
    tokens: Sequence[int],
    chat_request: ChatRequest,
    options: Options,
    finish_reason: str = "stop",
    stop_reason: int | str | None = None,
) -> Generation:
    calls = chat_request.tool_choice != "none"
    return read_tokens(tokens, finish_reason, stop_reason, thinks=thinks(chat_request, options), calls=calls)


def _generation(choice: GeneratedChoice, chat_request: ChatRequest, options: Options) -> Generation:
    if not choice.token_ids:
        raise refused(f"choice {choice.index} has empty or null token_ids")
    return _read(choice.token_ids, chat_request, options, choice.finish_reason or "stop", choice.stop_reason)


def _chat_chunk(
    body: DerenderChatStreamRequest, chat_request: ChatRequest | None, options: Options
) -> dict[str, Any]:
    chunk, state = body.generate_chunk, body.stream_state or StreamState()
    if chat_request is None:
        raise refused(_CHAT_NEEDED)
    if body.prompt_token_ids is None:
        raise refused(_PROMPT_NEEDED)
    if len(chunk.choices) > 1:
        raise refused(
            f"derender_chat_stream expects at most one choice per chunk (got {len(chunk.choices)})."
        )
    prompt, before = len(body.prompt_token_ids), len(state.output_token_ids)
    new = [token for choice in chunk.choices for token in choice.token_ids or ()]
    if prompt + before + len(new) > options.max_model_len:
        raise refused(
            f"prompt_token_ids length ({prompt}) plus output_token_ids length ({before}) plus delta "
            f"({len(new)}) exceeds max_model_len ({options.max_model_len})."
        )
    choices = [_chat_delta(choice, chat_request, state, options) for choice in chunk.choices]
    head = {"object": "chat.completion.chunk", **_head(chunk, body.prompt_tokens, choices, options)}
    return {
        "chunk": {**head, "prompt_token_ids": None, "prompt_text": None, "metrics": None},
        "stream_state": state.model_dump(),
    }


def _chat_delta(
    choice: GeneratedChoice, chat_request: ChatRequest, state: StreamState, options: Options
) -> dict[str, Any]:
    """The choice that a chunk adds to; the state becomes that after it."""
    new = choice.token_ids or []
    reply = chat.Reply("", chat_request, options)
    known = len(reply.deltas(_read(state.output_token_ids, chat_request, options)))
    state.output_token_ids += new
    if new:
        state.output_chunk_lens.append(len(new))
    told = reply.deltas(_read(state.output_token_ids, chat_request, options))[known:]
    delta: dict[str, Any] = {"role": None if state.role_sent else "assistant", "content": None}
    state.role_sent = True
    delta |= {name: None for name in ("reasoning", "reasoning_content") if name in _reasoning_names(options)}
    for each in told:
        for name, value in each.items():
            if name == "tool_calls":
                delta.setdefault(name, []).extend(_pinned(value, state))
            elif value is not None:
                delta[name] = (delta.get(name) or "") + value
    reason = choice.finish_reason
    if reason is not None and state.tools_streamed and not isinstance(chat_request.tool_choice, NamedTool):
        reason = "tool_calls"
    ids = chat_request.return_token_ids and chat_request.include_reasoning
    return {
        "index": choice.index,
        "delta": delta,
        "logprobs": None,
        "finish_reason": reason,
        "stop_reason": choice.stop_reason,
        "token_ids": choice.token_ids if ids else None,
    }


def _reasoning_names(options: Options) -> tuple[str, ...]:
    field = options.reasoning_field
    return ("reasoning", "reasoning_content") if field == "both" else (field,)


def _pinned(calls: list[dict[str, Any]], state: StreamState) -> list[dict[str, Any]]:
    """The calls with the ids that they were given when they began."""
    state.tools_streamed = True
    for call in calls:
        if "id" not in call:
            continue
        if call["index"] < len(state.last_tool_call_ids):
            call["id"] = state.last_tool_call_ids[call["index"]]
        else:
            state.last_tool_call_ids.append(call["id"])
    return calls


def _texts(body: DerenderCompletionRequest, options: Options) -> dict[str, Any]:
    responses = body.generate_responses
    if not responses:
        raise refused("generate_responses must not be empty")
    _check_size(responses, options)
    for prompt in body.prompt_token_ids or ():
        _check_prompt(prompt, options)
    choices: list[dict[str, Any]] = []
    count = 0
    for generated in responses:
        for choice in generated.choices:
            if not choice.token_ids:
                raise refused(
                    f"choice {choice.index} in response {generated.request_id} has empty or null token_ids"
                )
            count += len(choice.token_ids)
            choices.append(
                {
                    **{"index": len(choices), "text": _text(choice.token_ids), "logprobs": None},
                    **{"finish_reason": choice.finish_reason, "stop_reason": choice.stop_reason},
                    **{"token_ids": None, "prompt_logprobs": None, "prompt_token_ids": None},
                    "routed_experts": None,
                }
            )
    same = all(each.kv_transfer_params == responses[0].kv_transfer_params for each in responses)
    return {
        "id": responses[0].request_id or new_id(),
        "object": "text_completion",
        "created": now(),
        "model": options.models[0],
        "choices": choices,
        "service_tier": None,
        "system_fingerprint": None,
        "usage": {**brief_usage(sum(body.prompt_tokens or ()), count), **_NO_DETAILS},
        "kv_transfer_params": responses[0].kv_transfer_params if same else None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def _text_chunk(body: DerenderCompletionStreamRequest, options: Options) -> dict[str, Any]:
    chunk, state = body.generate_chunk, body.stream_state or StreamState()
    _check_prompt(body.prompt_token_ids, options)
    if len(chunk.choices) > 1:
        raise refused("derender_completion_stream expects at most one choice per chunk")
    choices = []
    for choice in chunk.choices:
        new = choice.token_ids or []
        text = _text(new)
        if new:
            state.prev_tokens, state.read_offset = [token_text(new[-1])], 1
        state.logprob_context_token_ids = [*state.logprob_context_token_ids, *new][-_CONTEXT:]
        state.logprob_text_offset += len(text)
        choices.append(
            {
                **{"index": choice.index, "text": text, "logprobs": None},
                **{"finish_reason": choice.finish_reason, "stop_reason": choice.stop_reason},
                **{"prompt_token_ids": None, "token_ids": None},
            }
        )
    head = {"object": "text_completion", **_head(chunk, body.prompt_tokens, choices, options)}
    return {"chunk": {**head, "metrics": None}, "stream_state": state.model_dump()}


def _head(
    chunk: GeneratedChunk, prompt_tokens: int | None, choices: list[dict[str, Any]], options: Options
) -> dict[str, Any]:
    return {
        "id": chunk.request_id or new_id(),
        "created": now(),
        "model": options.models[0],
        "choices": choices,
        "usage": _usage(chunk.usage, prompt_tokens),
        "system_fingerprint": None,
    }


def _usage(told: Usage | None, prompt_tokens: int | None) -> dict[str, Any] | None:
    if told is None:
        return None
    prompt = told.prompt_tokens if prompt_tokens is None else prompt_tokens
    return {**brief_usage(prompt, told.completion_tokens or 0), **_NO_DETAILS}


def _text(tokens: Sequence[int]) -> str:
    """The text of a completion, without the special tokens, which thinking and calling are none of."""
    return decode(token for token in tokens if token >= len(SPECIALS) or token in _ORDINARY)


_ORDINARY = frozenset(range(THINK, THINK + 4))


def _check_size(responses: Sequence[Generated], options: Options) -> None:
    """Refuse more than a server makes."""
    if len(responses) > MOST_CHOICES:
        raise refused(
            f"generate_responses count ({len(responses)}) exceeds server maximum ({MOST_CHOICES}). Set "
            "VLLM_MAX_N_SEQUENCES to increase this limit."
        )
    for generated in responses:
        if len(generated.choices) > MOST_CHOICES:
            raise refused(
                f"choices count ({len(generated.choices)}) in response '{generated.request_id}' exceeds "
                f"server maximum ({MOST_CHOICES})."
            )
        for choice in generated.choices:
            if len(choice.token_ids or ()) > options.max_model_len:
                raise _too_many(
                    f"token_ids length ({len(choice.token_ids or ())}) in choice {choice.index}", options
                )


def _check_prompt(tokens: Sequence[int] | None, options: Options) -> None:
    if tokens is not None and len(tokens) > options.max_model_len:
        raise _too_many(f"prompt_token_ids length ({len(tokens)})", options)


def _too_many(what: str, options: Options) -> SimError:
    return refused(f"{what} exceeds max_model_len ({options.max_model_len}).")
