"""Middleware for LangChain's agents; it needs the package `langchain`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage

from .errors import InvalidToolCallsError
from .invalid_calls import results_of_invalid, turns_in_vain

try:
    from langchain.agents.middleware import (
        AgentMiddleware,
        AgentState,
        ModelRequest,
        ModelResponse,
        hook_config,
    )
    from langchain.agents.structured_output import StructuredOutputValidationError
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain":
        raise
    raise ModuleNotFoundError("agents are in the package langchain: pip install langchain") from error

if TYPE_CHECKING:
    from langgraph.runtime import Runtime


class InvalidToolCallMiddleware(AgentMiddleware[Any, Any, Any]):
    """Tell the model which of its calls could not be read, and let it go on.

        agent = create_agent(model, tools, middleware=[InvalidToolCallMiddleware()])

    Without it an agent ends where all calls of an answer are invalid, as if that were its answer; one with a
    `response_format` reads the answer's text for that, or ends without a structured response.

    Args:
        max_in_a_row: answers with nothing but invalid calls after which the agent fails.
    """

    def __init__(self, max_in_a_row: int = 3) -> None:
        super().__init__()
        self.max_in_a_row = max_in_a_row

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Take no answer whose calls are all invalid for one in the agent's `response_format`."""
        try:
            return _unread_in_vain(handler(request))
        except StructuredOutputValidationError as error:
            if not _is_in_vain(error.ai_message):
                raise
            return ModelResponse(result=[error.ai_message])

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`."""
        try:
            return _unread_in_vain(await handler(request))
        except StructuredOutputValidationError as error:
            if not _is_in_vain(error.ai_message):
                raise
            return ModelResponse(result=[error.ai_message])

    @hook_config(can_jump_to=["model"])
    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Add a result for each invalid call.

        Raises:
            InvalidToolCallsError: the model does not get it right.
        """
        messages = state["messages"]
        results = results_of_invalid(messages)
        if not results:
            return None
        vain = turns_in_vain(messages)
        if vain >= self.max_in_a_row:
            raise InvalidToolCallsError(
                f"{vain} answers in a row called tools with arguments that cannot be read; the last: "
                f"{results[0].content}"
            )
        return {"messages": results, "jump_to": "model"} if vain else {"messages": results}

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `after_model`."""
        return self.after_model(state, runtime)


def _unread_in_vain(response: ModelResponse[Any]) -> ModelResponse[Any]:
    """A response without what was read of the text beside invalid calls."""
    return ModelResponse(result=response.result) if _is_in_vain(response.result[-1]) else response


def _is_in_vain(message: BaseMessage) -> bool:
    return turns_in_vain([message]) == 1
