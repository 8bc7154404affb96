"""`/tokenize` and `/detokenize`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from .chat_request import Tool, check_conversation, read_chat
from .errors import malformed, missing, unknown_model, validated
from .options import Options
from .prompts import render
from .replies import Json, read_json
from .tokens import decode, encode, shown


class _Tokenize(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = None
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    tools: list[Tool] | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = False
    chat_template_kwargs: dict[str, Any] | None = None


class _Detokenize(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = None
    tokens: list[Annotated[int, Field(ge=0)]]


async def tokenize(request: Request) -> Response:
    """Answers a tokenize request."""
    options: Options = request.app.state.options
    data = await read_json(request)
    body = validated(_Tokenize, data)
    if "prompt" not in data and "messages" not in data:
        raise malformed([missing("prompt", data), missing("messages", data)])
    _check_model(body.model, options)
    if body.prompt is not None:
        text = body.prompt
    else:
        chat = read_chat(data)
        check_conversation(chat, options.models[0], options.multimodal)
        text = render(
            chat.messages,
            [tool.function.model_dump(exclude_none=True) for tool in body.tools or ()],
            quiet=(body.chat_template_kwargs or {}).get("enable_thinking") is False,
            generate=body.add_generation_prompt,
            open_ended=body.continue_final_message,
        )
    tokens = encode(text)
    return Json(
        {
            "count": len(tokens),
            "max_model_len": options.max_model_len,
            "tokens": tokens,
            "token_strs": list(map(shown, tokens)) if body.return_token_strs else None,
        }
    )


async def detokenize(request: Request) -> Response:
    """Answers a detokenize request."""
    options: Options = request.app.state.options
    body = validated(_Detokenize, await read_json(request))
    _check_model(body.model, options)
    return Json({"prompt": decode(body.tokens)})


def _check_model(name: str | None, options: Options) -> None:
    if name and name not in options.models:
        raise unknown_model(name, options.models)
