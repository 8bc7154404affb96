"""Requests of pooling endpoints: what may be embedded or classified, and how it is to be told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..answers.answer import Json
from ..answers.grammar import text_of
from ..answers.tokens import decode, encode
from ..http.errors import (
    errors_in,
    malformed,
    refused,
    too_long,
    unknown_model,
    validated,
    without_template,
)
from ..http.options import Options
from .prompts import render
from .sampling import check_cache_salt, check_trusted

PoolingTask = Literal["embed", "classify", "token_embed", "token_classify", "plugin", "embed&token_classify"]


class PoolingBase(BaseModel):
    """The fields that all pooling endpoints share; unknown fields are ignored, as by vLLM."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str | None = None
    user: str | None = None
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = None
    padding: Literal["max_length", "do_not_pad"] | None = None
    truncation_side: Literal["left", "right"] | None = None
    request_id: str = ""
    priority: int = 0
    mm_processor_kwargs: dict[str, Any] | None = None
    cache_salt: str | None = None


class _Activation(BaseModel):
    use_activation: bool | None = None


class _Encoding(BaseModel):
    encoding_format: Literal["float", "base64", "bytes", "bytes_only"] = "float"
    embed_dtype: Literal["float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2"] = "float32"
    endianness: Literal["native", "big", "little"] = "native"
    dimensions: int | None = None


class _Task(BaseModel):
    task: PoolingTask | None = None


class _Texts(BaseModel):
    input: list[int] | list[list[int]] | str | list[str]
    add_special_tokens: bool = True


class _Template(BaseModel):
    media_io_kwargs: dict[str, dict[str, Any]] | None = None
    add_generation_prompt: bool = False
    continue_final_message: bool = False
    add_special_tokens: bool = False
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class _Chat(_Template):
    messages: list[Json]


class _Chats(_Template):
    messages: list[list[Json]]


class _ChatInput(_Chat):
    input: list[Json]


class _ChatsInput(_Chats):
    input: list[list[Json]]


# The later a base stands, the earlier its errors are told.
class _EmbedTexts(PoolingBase, _Texts, _Activation, _Encoding):
    pass


class _EmbedChat(PoolingBase, _Chat, _Activation, _Encoding):
    pass


class _EmbedChats(PoolingBase, _Chats, _Activation, _Encoding):
    pass


class _EmbedChatInput(PoolingBase, _ChatInput, _Activation, _Encoding):
    pass


class _EmbedChatsInput(PoolingBase, _ChatsInput, _Activation, _Encoding):
    pass


class _PoolTexts(PoolingBase, _Texts, _Activation, _Encoding, _Task):
    pass


class _PoolChat(PoolingBase, _Chat, _Activation, _Encoding, _Task):
    pass


class _PoolData(PoolingBase, _Encoding, _Task):
    data: Any


class _ClassifyTexts(PoolingBase, _Texts, _Activation):
    pass


class _ClassifyChat(PoolingBase, _Chat, _Activation):
    pass


class LateChunking(BaseModel):
    """The way in which a text is cut after it was embedded as a whole."""

    model_config = ConfigDict(extra="forbid")

    chunk_size: Annotated[int, Field(gt=0, le=2**63 - 1, strict=True)]


class _TokenTexts(PoolingBase, _Texts, _Activation):
    late_chunking_params: LateChunking | None = None
    encoding_format: Literal["float"] = "float"
    dimensions: None = None


class PoolingRequest(PoolingBase, _Activation, _Encoding, _Task):
    """The body of `/v1/embeddings`, `/pooling` or `/classify`, in whatever form it came."""

    input: Any = None
    messages: list[Any] | None = None
    late_chunking_params: LateChunking | None = None


# The forms of a body that vLLM tries, one after the other.
_FORMS: dict[str, TypeAdapter[Any]] = {
    "embeddings": TypeAdapter(_EmbedTexts | _EmbedChat | _EmbedChats | _EmbedChatInput | _EmbedChatsInput),
    "pooling": TypeAdapter(_PoolTexts | _PoolChat | _PoolData),
    "classify": TypeAdapter(_ClassifyTexts | _ClassifyChat),
}


class _Form:
    """One form of a body."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def is_valid(self, data: Any) -> bool:
        """Tell whether a body has it."""
        try:
            self._model.model_validate(data)
        except ValidationError:
            return False
        return True


_TEXTS = {
    "embeddings": _Form(_EmbedTexts),
    "pooling": _Form(_PoolTexts),
    "classify": _Form(_ClassifyTexts),
    "token_embeddings": _Form(_TokenTexts),
}


class Text:
    """One text to be pooled.

    Attributes:
        text: what is pooled, cut if that was asked for.
        tokens: how many tokens it has.
    """

    __slots__ = ("text", "tokens")

    def __init__(self, text: str, tokens: int) -> None:
        self.text, self.tokens = text, tokens


def read_pooling(data: Any, options: Options, forms: str) -> PoolingRequest:
    """Check a body and makes a request of it.

    Args:
        data: the body.
        options: the server's options.
        forms: which forms it may have: those of "embeddings", "pooling", "classify" or "token_embeddings".

    Raises:
        SimError: a 400, or a 404 for a model that is not served.
    """
    if isinstance(data, dict):
        if "normalize" in data:
            raise refused("Parameter `normalize` was removed; use `use_activation` instead.", "normalize")
        if data.get("cache_salt") is not None:
            check_cache_salt(data["cache_salt"])
        if _is_chat(data.get("input")) and "messages" not in data:
            data = {**data, "messages": data["input"]}
    if forms == "token_embeddings":
        validated(_TokenTexts, data)
    else:
        check_form(_FORMS[forms], data)
    if "messages" in data and _TEXTS[forms].is_valid(data):
        data = {name: value for name, value in data.items() if name != "messages"}  # texts win
    request = validated(PoolingRequest, data)
    check_model(request.model, options)
    check_trusted(data)
    return request


def check_late_chunking(request: PoolingRequest) -> None:
    """Refuse what cannot be cut after it was embedded as a whole.

    Raises:
        SimError: a 400.
    """
    inputs = request.input if isinstance(request.input, list) else [request.input]
    if not all(isinstance(text, str) and text for text in inputs):
        raise refused("Late chunking requires nonempty plain-text input")
    if request.padding == "max_length" or request.truncate_prompt_tokens is not None:
        raise refused(
            "Late chunking does not support input padding, truncation or renderer text normalization"
        )


def check_form(forms: TypeAdapter[Any], data: Any) -> None:
    """Refuse a body that has none of several forms; tells what is wrong with it in each of them.

    Raises:
        SimError: a 400.
    """
    try:
        forms.validate_python(data, from_attributes=True)
    except ValidationError as error:
        found = errors_in(error)
        raise malformed([{**each, "loc": ("body", *each["loc"][2:])} for each in found]) from None


def check_model(name: str | None, options: Options) -> None:
    """Refuse a model that is not served.

    Raises:
        SimError: a 404.
    """
    if name and name not in options.models:
        raise unknown_model(name, options.models, pooling=True)


def texts_of(request: PoolingRequest, options: Options) -> list[Text]:
    """The texts of a request: of strings, of token ids, or of conversations.

    Raises:
        SimError: a 400: there are none, or one is too long.
    """
    inputs = request.input
    if request.messages is not None or _is_chat(inputs):
        if options.template == "none":
            raise without_template()
        conversations = request.messages if request.messages is not None else inputs
        if not conversations or isinstance(conversations[0], dict):
            conversations = [conversations]
        return [_text(_conversation(each), request, options) for each in conversations]
    if isinstance(inputs, str) or (inputs and isinstance(inputs[0], int)):
        inputs = [inputs]
    if not inputs:
        raise refused("You must pass at least one prompt")
    if [] in inputs:
        raise refused("The decoder prompt cannot be empty")
    return [_text(each if isinstance(each, str) else decode(each), request, options, each) for each in inputs]


def _is_chat(inputs: Any) -> bool:
    first = inputs[0] if isinstance(inputs, list) and inputs else None
    return isinstance(first, dict) or (isinstance(first, list) and bool(first) and isinstance(first[0], dict))


def _conversation(messages: list[Json]) -> str:
    if not messages:
        raise refused("Cannot apply chat template to an empty conversation. Provide at least one message.")
    return "\n".join(map(text_of, messages)) or render(messages)


def _text(text: str, request: PoolingBase, options: Options, tokens: Any = None) -> Text:
    ids = tokens if isinstance(tokens, list) else encode(text)
    cut = truncated(ids, request, options)
    if not cut and ids:
        raise refused("The decoder prompt cannot be empty")
    return Text(text if len(cut) == len(ids) else decode(cut), len(cut))


def truncated(ids: list[int], request: PoolingBase, options: Options, most: int | None = None) -> list[int]:
    """The tokens of a text, cut if that was asked for.

    Raises:
        SimError: a 400: it is too long.
    """
    limit = options.max_model_len
    size = request.truncate_prompt_tokens
    if size is not None and size > limit:
        raise refused(
            "truncate_prompt_tokens value is greater than max_model_len. Please request a smaller truncation "
            "size."
        )
    if size is not None:
        keep = (limit if size == -1 else size) if most is None else most
        return ids[max(0, len(ids) - keep) :] if request.truncation_side == "left" else ids[:keep]
    if len(ids) > limit:
        raise too_long(limit)
    return ids
