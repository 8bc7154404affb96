"""`register`: what LangChain keeps in tables of its own, and no package can enter but by hand.

init_chat_model("vllm:NAME")        langchain's providers of chat models
init_embeddings("vllm:NAME")        langchain's providers of embeddings
load(…, allowed_objects="all", valid_namespaces=["langchain_vllm"])
                                    langchain-core's classes that may be loaded
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "ChatVLLM": "chat_models",
    "VLLMCompletion": "llms",
    "VLLMCrossEncoder": "cross_encoder",
    "VLLMEmbeddings": "embeddings",
    "VLLMRerank": "rerank",
}
_PROVIDERS = {"langchain.chat_models.base": "ChatVLLM", "langchain.embeddings.base": "VLLMEmbeddings"}


def register() -> None:
    """Make ``init_chat_model("vllm:NAME")`` and ``init_embeddings("vllm:NAME")`` work.

    Saved models can be loaded with ``allowed_objects="all"`` then, too; a list of classes needs no
    registration. Both need ``valid_namespaces=["langchain_vllm"]``. Without the package
    `langchain` only this is done.

    Raises:
        RuntimeError: this version of LangChain keeps its tables elsewhere.
    """
    # Not `from langchain_core.load import load`, which is the function.
    loading = importlib.import_module("langchain_core.load.load")
    for class_name, module in _MODULES.items():
        path = ("langchain_vllm", module, class_name)
        _table(loading, "ALL_SERIALIZABLE_MAPPINGS").setdefault(path, path)
    _table(loading, "_default_class_paths_cache").clear()
    for home, class_name in _PROVIDERS.items():
        try:
            langchain = importlib.import_module(home)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "langchain":
                raise
            return
        _table(langchain, "_BUILTIN_PROVIDERS").setdefault("vllm", ("langchain_vllm", class_name, _create))


def _table(module: Any, name: str) -> dict[Any, Any]:
    table = getattr(module, name, None)
    if not isinstance(table, dict):
        raise RuntimeError(f"this version of LangChain has no {name} in {module.__name__}")
    return table


def _create(cls: type, **fields: Any) -> Any:
    return cls(**fields)
