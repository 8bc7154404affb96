"""A chat completions request: its fields, and vLLM's checks of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, PrivateAttr, model_validator

from ..answers.answer import Json
from ..http.errors import refused, validated, without_template
from ..http.options import Options
from .messages import AnyMessage, check_calls, check_contents
from .order import check_order, check_turns
from .sampling import CHAT_ORDER, Sampling, TopLogprobs, check_options, check_trusted


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

    ORDER = CHAT_ORDER

    messages: list[AnyMessage]
    echo: bool = False
    logprobs: bool | None = False
    top_logprobs: TopLogprobs = 0
    max_completion_tokens: int | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = "none"
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    include_reasoning: bool = True
    parallel_tool_calls: bool | None = True
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    documents: list[dict[str, str]] | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    media_io_kwargs: dict[str, dict[str, Any]] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    return_prompt_text: bool | None = None
    _conversation: list[Json] = PrivateAttr(default_factory=list)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_conversation(cls, data: Any, handler: ModelWrapValidatorHandler[ChatRequest]) -> ChatRequest:
        request = handler(data)
        check_calls(request.messages)
        request._conversation = data["messages"]
        return request

    @property
    def conversation(self) -> list[Json]:
        """The messages as they came."""
        return self._conversation

    @property
    def functions(self) -> list[Json]:
        """The functions that the model sees."""
        return [tool.function.model_dump(exclude_none=True) for tool in self.tools or ()]

    @property
    def wanted_logprobs(self) -> int | None:
        """The number of alternatives to tell for each token; `None` for no logprobs at all."""
        return self.top_logprobs if self.logprobs else None


def read_chat(data: Any) -> ChatRequest:
    """Check a body and makes a request of it.

    Raises:
        SimError: a 400.
    """
    if isinstance(data, dict):
        data = dict(data)
        if data.get("continue_final_message") and data.get("add_generation_prompt"):
            raise refused("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
        _check_tools(data)
        check_options(data)
        if not hasattr(data.get("messages", ()), "__iter__"):
            kind = type(data["messages"]).__name__
            raise refused(f"'{kind}' object is not iterable")
        if "messages" in data:
            data["messages"] = _with_reasoning(data["messages"])
    request = validated(ChatRequest, data)
    if request.max_completion_tokens is not None:
        request.max_tokens = request.max_completion_tokens
    return request


def _with_reasoning(messages: Any) -> Any:
    """The messages, with the older name of their reasoning replaced."""
    if not isinstance(messages, list):
        return messages
    return [
        {**{key: value for key, value in message.items() if key != "reasoning_content"}}
        | {"reasoning": message.get("reasoning") or message["reasoning_content"]}
        if isinstance(message, dict) and message.get("reasoning_content") is not None
        else message
        for message in messages
    ]


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


def check_conversation(request: ChatRequest, options: Options) -> None:
    """Refuse what cannot be rendered; vLLM finds it after it found the model.

    Raises:
        SimError: a 400.
    """
    if request.chat_template is not None or "chat_template" in (request.chat_template_kwargs or {}):
        raise refused(
            "Chat template is passed with request, but --trust-request-chat-template is not set. Refused "
            "request with untrusted chat template."
        )
    check_trusted(request.model_dump(include={"mm_processor_kwargs", "media_io_kwargs"}))
    if options.template == "none":
        raise without_template()
    if not request.messages:
        raise refused("Cannot apply chat template to an empty conversation. Provide at least one message.")
    check_contents(request.messages, options)
    if options.template == "strict":
        check_order(request.conversation)
    elif options.template == "no_system":
        check_turns(request.conversation)
