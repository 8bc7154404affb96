"""The examples in the docstring of a class run, from its top to its bottom."""

from __future__ import annotations

import inspect
import re

from llama_index.llms.vllm_connect import VLLMResponses
from vllm_connect.sim import SimServer

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_examples(capsys):
    blocks = BLOCK.findall(inspect.getdoc(VLLMResponses) or "")
    assert len(blocks) == 4
    with SimServer(models=["llama"]) as server:
        namespace = {"__name__": "__main__"}
        for block in blocks:
            block = inspect.cleandoc("\n" + block.replace("http://localhost:8000", server.url))
            exec(compile(block, "VLLMResponses", "exec"), namespace)
    assert capsys.readouterr().out.endswith("sunny\n")
