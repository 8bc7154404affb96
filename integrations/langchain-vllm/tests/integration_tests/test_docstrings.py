"""The Python of each class's docstring runs, as one program."""

from __future__ import annotations

import inspect
import re

import pytest
from vllm_connect.sim import SimServer

import langchain_vllm
from langchain_vllm import ChatVLLM, VLLMEmbeddings, VLLMRerank


@pytest.mark.parametrize("cls", [ChatVLLM, VLLMEmbeddings, VLLMRerank])
def test_a_docstring_runs(cls):
    blocks = re.findall(r"```python\n(.*?)\n *```", inspect.cleandoc(cls.__doc__), re.DOTALL)
    program = "\n".join(inspect.cleandoc(f"\n{block}") for block in blocks)
    with SimServer(models=["llama", "bge", "bge-reranker"]) as server:
        exec(
            compile(program.replace("http://localhost:8000", server.url), cls.__name__, "exec"),
            {"__name__": "docstring"},
        )


@pytest.mark.parametrize("name", ["Setup", "Instantiate", "Invoke", "Stream", "Tools", "Structured output"])
def test_the_chat_model_is_described_as_partner_packages_are(name):
    assert f"\n    {name}:\n" in ChatVLLM.__doc__


def test_every_class_has_an_example():
    for name in langchain_vllm.__all__:
        try:
            documented = getattr(langchain_vllm, name)
        except ImportError:
            assert name == "VLLMDecisions"  # its base class is in langchain-core from 1.8 on
            continue
        if inspect.isclass(documented):
            assert f"{name}(" in documented.__doc__, name
