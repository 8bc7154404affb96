"""How the standard suites get at the details of token counts."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import add_ai_message_chunks

DETAILS = ["reasoning_output", "cache_read_input"]


class CountsDetails:
    """The part of a suite that asks for what vLLM counts."""

    chat_model_class: Any
    chat_model_params: Any

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        return {"invoke": DETAILS, "stream": DETAILS}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return ask(self.chat_model_class(**self.chat_model_params), "Think: one two\nSay: three", stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model = self.chat_model_class(**self.chat_model_params)
        text = "Say: " + "word " * 200
        ask(model, text, stream)
        return ask(model, text, stream)


def ask(model: BaseChatModel, text: str, stream: bool) -> AIMessage:
    if not stream:
        return model.invoke(text)
    chunks = list(model.stream(text))
    return add_ai_message_chunks(chunks[0], *chunks[1:])
