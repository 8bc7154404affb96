"""Names that other integrations have for things, and what to use here."""

from __future__ import annotations

from collections.abc import Container

# A name elsewhere: a field that the class must have for the advice to hold, and the advice.
_HERE = {
    "api_base": ("base_url", "base_url="),
    "api_url": ("base_url", "base_url="),
    "url": ("base_url", "base_url="),
    "openai_api_key": ("api_key", "api_key="),
    "request_timeout": ("timeout", "timeout="),
    "headers": ("default_headers", "default_headers="),
    "extra_headers": ("default_headers", "default_headers="),
    "api_version": ("base_url", "nothing instead, vLLM has no versions of its API"),
    "reuse_client": ("base_url", "nothing instead, connections are always kept"),
    "model": ("model_name", "model_name="),
    "model_name": ("model", "model="),
    "extra_body": ("additional_kwargs", 'additional_kwargs={"extra_body": …}'),
    "built_in_tools": ("mode", "nothing instead, OpenAI runs those; functions are passed as tools"),
    "n": ("stop", 'additional_kwargs={"n": …}'),
    "generate_kwargs": ("stop", "the fields themselves, e.g. top_k=, or additional_kwargs={…}"),
    "model_kwargs": ("additional_kwargs", "the fields themselves, or additional_kwargs={…}"),
    "max_new_tokens": ("max_tokens", "max_tokens="),
    "max_completion_tokens": ("max_tokens", "max_tokens="),
    "num_output": ("max_tokens", "max_tokens="),
    "num_ctx": ("context_window", "context_window="),
    "stop_sequences": ("stop", "stop="),
    "is_chat_model": ("mode", 'mode="chat" or mode="completion"'),
    "streaming": ("mode", "stream_chat, stream_complete and their async twins"),
    "should_use_structured_outputs": (
        "show_schema",
        "nothing instead, structured answers are always held to it",
    ),
    "tokenizer": ("mode", "Settings.tokenizer = llm.tokenizer, the served model's own"),
    "check_embedding_ctx_length": ("embed_batch_size", "truncate_prompt_tokens=-1 to cut long texts"),
    "batch_size": ("embed_batch_size", "embed_batch_size="),
    "text_batch_size": ("embed_batch_size", "embed_batch_size="),
    "embed_dim": ("dimensions", "dimensions="),
    "query_prefix": ("query_instruction", "query_instruction="),
    "text_prefix": ("text_instruction", "text_instruction="),
    "encoding_format": ("embed_batch_size", 'additional_kwargs={"encoding_format": …}'),
    "top_k": ("top_n", "top_n="),
    "max_length": ("truncate_prompt_tokens", "truncate_prompt_tokens="),
}

# Those that no request has, though others are parameters of a single call.
_NEVER_IN_CALLS = (
    "built_in_tools",
    "generate_kwargs",
    "model_kwargs",
    "max_new_tokens",
    "stop_sequences",
    "is_chat_model",
)


def advice_for(name: str, fields: Container[str]) -> str | None:
    """Say what a class has in place of a field that others have.

    Args:
        name: The field that the class has not.
        fields: Those that it has.
    """
    field, advice = _HERE.get(name, ("", ""))
    return advice if field in fields else None


def advice_for_call(name: str) -> str | None:
    """Say what to use in place of a parameter of a single call."""
    return _HERE[name][1] if name in _NEVER_IN_CALLS else None
