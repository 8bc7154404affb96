"""`/tokenize` and `/detokenize`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from ..http.errors import unknown_model, validated
from ..http.options import Options
from ..http.replies import Json, read_json
from ..requests.chat import Tool, check_conversation, read_chat
from ..requests.pooling import check_form
from ..requests.prompts import render
from .tokens import decode, encode, shown


class _Base(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = False


class _Prompt(_Base):
    prompt: str


class _Chat(_Base):
    messages: list[dict[str, Any]]
    tools: list[Tool] | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template_kwargs: dict[str, Any] | None = None


_FORMS: TypeAdapter[_Prompt | _Chat] = TypeAdapter(_Prompt | _Chat)


class _Detokenize(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = None
    tokens: list[Annotated[int, Field(ge=0)]]


async def tokenize(request: Request) -> Response:
    """Answers a tokenize request."""
    options: Options = request.app.state.options
    data = await read_json(request)
    check_form(_FORMS, data)
    body = _FORMS.validate_python(data)
    _check_model(body.model, options)
    if isinstance(body, _Prompt):
        text = body.prompt
    else:
        check_conversation(read_chat(data), options)
        text = render(
            body.messages,
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
