"""Objects that LlamaIndex's own programs ask for, and read leniently, so that the end is checked here.

`LLMTextCompletionProgram` and `FunctionCallingProgram` complete half an object, and take what comes out for
the whole one. They look like any other chat; what tells them is the text that asks for the object, and the
tool that makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, ToolCallBlock
from llama_index.core.output_parsers.pydantic import PYDANTIC_FORMAT_TMPL
from llama_index.core.program import function_program

from vllm_connect.adapters import ArgumentsError, describe_cut, read_arguments

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

ResponseT = TypeVar("ResponseT", ChatResponse, CompletionResponse)

#: The argument of a chat whose tool `makes_object`; it goes to no server.
FOR_OBJECT = "_for_object"

# What `PydanticOutputParser` puts below a prompt; its first lines hold the schema.
_ASKS = PYDANTIC_FORMAT_TMPL.strip().splitlines()[-1]
_MAKES = f"{function_program.get_function_tool.__qualname__}.<locals>."


def asks_for_object(texts: Iterable[str | None]) -> bool:
    """Tell whether a prompt asks for an object, which a program will read."""
    return any(text and _ASKS in text for text in texts)


def makes_object(tools: Sequence[BaseTool]) -> bool:
    """Tell whether a tool is no tool, but the class of a program's object."""
    return any(getattr(getattr(tool, "fn", None), "__qualname__", "").startswith(_MAKES) for tool in tools)


def whole_text(response: ResponseT) -> ResponseT:
    """A response, if it is still being written or has come to a real end.

    Raises:
        ValueError: It was cut off; the message says how.
    """
    reason = response.additional_kwargs.get("finish_reason")
    if reason and (cut := describe_cut(reason)):
        raise ValueError(f"The object is not whole: {cut}")
    return response


def whole_calls(response: ChatResponse) -> ChatResponse:
    """A response, if its calls are still being written or can be read.

    Raises:
        ValueError: A call was cut off, or is no JSON object.
    """
    if "finish_reason" not in response.additional_kwargs:
        return response
    reason = response.additional_kwargs["finish_reason"]
    blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    for block in blocks:
        if isinstance(block.tool_kwargs, str):
            try:
                read_arguments(block.tool_kwargs, reason, is_last=block is blocks[-1])
            except ArgumentsError as error:
                why = describe_cut(reason) or str(error)
                raise ValueError(f"The {block.tool_name} is not whole: {why}") from error
    return response


def texts_of(messages: Sequence[ChatMessage]) -> Iterable[str | None]:
    """The texts of a conversation that may ask for an object: its system message, else its last one."""
    return (message.content for message in (*messages[:1], *messages[-1:]))
