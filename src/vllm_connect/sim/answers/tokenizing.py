"""`/tokenize`, `/detokenize` and `/tokenizer_info`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from ..http.engine import served
from ..http.errors import refused, validated
from ..http.options import Options
from ..http.replies import Json, read_json
from ..requests.chat import Tool, check_conversation, read_chat
from ..requests.messages import AnyMessage, check_calls
from ..requests.pooling import check_form
from ..requests.prompts import render
from ..requests.sampling import check_trusted
from .tokens import END_OF_TURN, SPECIALS, decode, encode, spelled

# ChatML, in as far as `render` is simple.
_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class _Prompt(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = None
    prompt: str
    add_special_tokens: bool = True
    return_token_strs: bool | None = False


class _Chat(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = None
    messages: list[AnyMessage]
    add_generation_prompt: bool = True
    return_token_strs: bool | None = False
    continue_final_message: bool = False
    add_special_tokens: bool = False
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    media_io_kwargs: dict[str, dict[str, Any]] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    tools: list[Tool] | None = None


_FORMS: TypeAdapter[_Prompt | _Chat] = TypeAdapter(_Prompt | _Chat)


class _Detokenize(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = None
    tokens: list[Annotated[int, Field(ge=0)]]


async def tokenize(http: Request) -> Response:
    """Answer a tokenize request."""
    options: Options = http.app.state.options
    data = await read_json(http)
    if isinstance(data, dict) and data.get("continue_final_message") and data.get("add_generation_prompt"):
        raise refused("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
    check_form(_FORMS, data)
    body = _FORMS.validate_python(data)
    served(http, body.model)
    if isinstance(body, _Prompt):
        check_trusted(data)
        text = body.prompt
    else:
        try:
            check_calls(body.messages)
        except ValidationError as error:  # found when the template is applied, not before
            raise refused(str(error)) from None
        request = read_chat({name: value for name, value in data.items() if name != "tools" or value})
        check_conversation(request, options)
        if body.continue_final_message and body.add_generation_prompt:  # which is so by default
            raise refused(
                "continue_final_message and add_generation_prompt are not compatible. Use "
                "continue_final_message when you want the model to continue the final message, and "
                "add_generation_prompt when you want to add a header that will prompt it to start a new "
                "assistant message instead."
            )
        text = render(
            request.conversation,
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
            "token_strs": list(map(spelled, tokens)) if body.return_token_strs else None,
        }
    )


async def detokenize(request: Request) -> Response:
    """Answer a detokenize request."""
    body = validated(_Detokenize, await read_json(request))
    served(request, body.model)
    return Json({"prompt": decode(body.tokens)})


async def tokenizer_info(request: Request) -> Response:
    """Answer with the configuration of the tokenizer, on a server that was started to tell it."""
    options: Options = request.app.state.options
    return Json(
        {
            "added_tokens_decoder": {str(number): text for number, text in enumerate(SPECIALS)},
            "eos_token": SPECIALS[END_OF_TURN],
            "model_max_length": options.max_model_len,
            "tokenizer_class": "SimTokenizer",
            "chat_template": _TEMPLATE,
        }
    )
