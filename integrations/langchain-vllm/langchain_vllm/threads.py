"""The LangGraph thread that a model is called in, which is a conversation."""

from __future__ import annotations

from uuid import UUID

from langchain_core.runnables.config import var_child_runnable_config


def thread_of_graph() -> str | None:
    """The thread's id; None outside of a graph with a checkpointer, or if no header can carry it."""
    config = var_child_runnable_config.get()
    thread = config and (config.get("configurable") or {}).get("thread_id")
    if isinstance(thread, (int, UUID)):
        thread = str(thread)
    if not isinstance(thread, str) or not thread.isascii() or not thread.isprintable():
        return None
    return thread or None
