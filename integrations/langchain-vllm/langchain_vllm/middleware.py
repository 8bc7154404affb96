"""Middleware for LangChain's agents; it needs the package `langchain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import InvalidToolCallsError
from .invalid_calls import results_of_invalid, turns_in_vain

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, hook_config
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain":
        raise
    raise ModuleNotFoundError("agents are in the package langchain: pip install langchain") from error

if TYPE_CHECKING:
    from langgraph.runtime import Runtime


class InvalidToolCallMiddleware(AgentMiddleware[Any, Any, Any]):
    """Tell the model which of its calls could not be read, and let it go on.

        agent = create_agent(model, tools, middleware=[InvalidToolCallMiddleware()])

    Without it an agent ends where all calls of an answer are invalid, as if that were its answer.

    Args:
        max_in_a_row: answers with nothing but invalid calls after which the agent fails.
    """

    def __init__(self, max_in_a_row: int = 3) -> None:
        super().__init__()
        self.max_in_a_row = max_in_a_row

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
