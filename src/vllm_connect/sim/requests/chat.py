"""A chat completions request: its fields, and vLLM's checks of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import VERSION, BaseModel, ConfigDict

from ..answers.answer import Json
from ..http.errors import malformed, missing, refused, validated
from ..http.options import Options
from .order import check_order
from .sampling import Sampling, TopLogprobs, check_options

# The kinds of message that vLLM tries, and what each of them must have.
_MESSAGES = (
    ("ChatCompletionDeveloperMessageParam", "role"),
    ("ChatCompletionSystemMessageParam", "role"),
    ("ChatCompletionUserMessageParam", "role"),
    ("ChatCompletionAssistantMessageParam", "role"),
    ("ChatCompletionToolMessageParam", "role"),
    ("ChatCompletionToolMessageParam", "tool_call_id"),
    ("ChatCompletionFunctionMessageParam", "name"),
    ("ChatCompletionFunctionMessageParam", "role"),
    ("CustomChatCompletionMessageParam", "role"),
    ("Message", "author"),
    ("Message", "role"),
)
_PYDANTIC = ".".join(VERSION.split(".")[:2])
_TEXTS = ("text", "refusal", "thinking", "input_text", "output_text")
_MEDIA = (
    *("image_url", "image_pil", "image_embeds", "input_image"),
    *("input_audio", "audio_url", "audio_embeds", "video_url", "file"),
)


class Function(BaseModel):
    """A function that may be called."""

    model_config = ConfigDict(extra="allow")

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(BaseModel):
    """A tool; vLLM knows functions only."""

    model_config = ConfigDict(extra="allow")

    type: Literal["function"] = "function"
    function: Function


class NamedFunction(BaseModel):
    """The name in a tool choice."""

    name: str


class NamedTool(BaseModel):
    """A tool choice that names the tool."""

    function: NamedFunction
    type: Literal["function"] = "function"


class ChatRequest(Sampling):
    """The body of `/v1/chat/completions`, as far as the simulator heeds it."""

    messages: list[Json]
    logprobs: bool | None = False
    top_logprobs: TopLogprobs = 0
    max_completion_tokens: int | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = "none"
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    thinking_token_budget: int | None = None
    include_reasoning: bool = True
    parallel_tool_calls: bool | None = True
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    documents: list[dict[str, str]] | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    media_io_kwargs: dict[str, Any] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    return_prompt_text: bool | None = None

    @property
    def functions(self) -> list[Json]:
        """The functions that may be called."""
        if self.tool_choice == "none":
            return []
        return [tool.function.model_dump(exclude_none=True) for tool in self.tools or ()]

    @property
    def wanted_logprobs(self) -> int | None:
        """How many alternatives to tell for each token; `None` for no logprobs at all."""
        return self.top_logprobs if self.logprobs else None


def read_chat(data: Any) -> ChatRequest:
    """Checks a body and makes a request of it.

    Raises:
        SimError: A 400.
    """
    if isinstance(data, dict):
        data = dict(data)
        if data.get("continue_final_message") and data.get("add_generation_prompt"):
            raise refused("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
        _check_tools(data)
        check_options(data)
        _check_kinds(data.get("messages"))
    request = validated(ChatRequest, data)
    _check_messages(request)
    if request.max_completion_tokens is not None:
        request.max_tokens = request.max_completion_tokens
    return request


def _check_tools(data: Json) -> None:
    if data.get("tools") == []:
        raise refused(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field "
            "entirely.",
            "tools",
        )
    if "tool_choice" not in data and data.get("tools"):
        data["tool_choice"] = "auto"
    choice = data.get("tool_choice")
    if choice is None or choice == "none":
        return
    if data.get("tools") is None:
        raise refused("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if not isinstance(choice, dict):
        if choice not in ("auto", "required"):
            raise refused(
                f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" '
                "are supported.",
                "tool_choice",
            )
        return
    usage = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'
    function = choice.get("function")
    if not isinstance(function, dict):
        raise refused(
            f"Invalid value for `function`: `{function}` in `tool_choice`! {usage}", "tool_choice.function"
        )
    if "name" not in function:
        raise refused(
            f"Expected field `name` in `function` in `tool_choice`! {usage}", "tool_choice.function.name"
        )
    names = [(tool.get("function") or {}).get("name") for tool in data["tools"] if isinstance(tool, dict)]
    if function["name"] not in names:
        raise refused(
            "The tool specified in `tool_choice` does not match any of the specified `tools`", "tool_choice"
        )
    constraints = data.get("structured_outputs") or {}
    if any(constraints.get(key) is not None for key in ("json", "regex", "choice")):
        raise refused("You can only either use constraints for structured outputs or tools, not both.")


def _check_kinds(messages: Any) -> None:
    for i, message in enumerate(messages if isinstance(messages, list) else ()):
        if not isinstance(message, dict):
            wrong = {"type": "dict_type", "msg": "Input should be a valid dictionary", "input": message}
            kinds = dict.fromkeys(kind for kind, _ in _MESSAGES)
            raise malformed([{**wrong, "loc": ("body", "messages", i, kind)} for kind in kinds])


def _check_messages(request: ChatRequest) -> None:
    for i, message in enumerate(request.messages):
        if not isinstance(message.get("role"), str):
            raise malformed([missing(f"messages.{i}.{kind}.{field}", message) for kind, field in _MESSAGES])
        if not isinstance(message.get("content", ""), (str, list, type(None))):
            place = ("body", "messages", i, "ChatCompletionUserMessageParam", "content")
            wrong = {"loc": place, "input": message["content"]}
            raise malformed(
                [
                    {"type": "string_type", "msg": "Input should be a valid string", **wrong},
                    {"type": "iterable_type", "msg": "Input should be iterable", **wrong},
                ]
            )
        if "reasoning_content" in message and message.get("reasoning") is None:
            message["reasoning"] = message.pop("reasoning_content")


def check_conversation(request: ChatRequest, options: Options) -> None:
    """Refuses what cannot be rendered; vLLM finds it after it found the model.

    Raises:
        SimError: A 400.
    """
    if request.chat_template is not None or "chat_template" in (request.chat_template_kwargs or {}):
        raise refused(
            "Chat template is passed with request, but --trust-request-chat-template is not set. Refused "
            "request with untrusted chat template."
        )
    for name, work in (("mm_processor_kwargs", "preprocessing"), ("media_io_kwargs", "media loading")):
        if getattr(request, name) is not None:
            raise refused(
                f"Per-request {name} are disabled by default because they can change multimodal {work} "
                "resource usage. Start the server with --trust-request-mm-kwargs only when clients are "
                "trusted.",
                name,
            )
    if not request.messages:
        raise refused("Cannot apply chat template to an empty conversation. Provide at least one message.")
    for message in request.messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            kind = part.get("type", "image_url") if isinstance(part, dict) else None
            if kind not in (*_TEXTS, *_MEDIA) or (kind == "text" and "text" not in part):
                raise refused(_no_part(part))
            if kind in _MEDIA and not options.multimodal:
                raise refused(f"{options.models[0]} is not a multimodal model")
    if options.template == "strict":
        check_order(request.messages)


def _no_part(part: Any) -> str:
    """What vLLM says of a content part that is none: pydantic's words, for every kind that it tries."""
    kinds = {
        "ChatCompletionContentPartTextParam": "text",
        "ChatCompletionContentPartImageParam": "image_url",
        "ChatCompletionContentPartInputAudioParam": "input_audio",
        "File": "file",
    }
    found: list[tuple[str, str, str, Any]] = []
    for kind, field in kinds.items():
        if not isinstance(part, dict):
            found.append((kind, "dict_type", "Input should be a valid dictionary", part))
            continue
        if field not in part:
            found.append((f"{kind}.{field}", "missing", "Field required", part))
        if part.get("type") != field:
            wrong = part.get("type")
            found.append((f"{kind}.type", "literal_error", f"Input should be {field!r}", wrong))
    lines = [f"{len(found)} validation errors for ValidatorIterator"]
    for place, error, message, value in found:
        told = f"[type={error}, input_value={value!r}, input_type={type(value).__name__}]"
        lines += [f"0.{place}", f"  {message} {told}"]
        lines.append(f"    For further information visit https://errors.pydantic.dev/{_PYDANTIC}/v/{error}")
    return "\n".join(lines)
