"""The snippets of the README run as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from vllm_connect.sim import SimServer

PACKAGE = Path(__file__).parents[1]
README = (PACKAGE / "README.md").read_text("utf-8")
PAGES = README + (PACKAGE.parents[1] / "README.md").read_text("utf-8")
SNIPPETS = [text for text in re.findall(r"```python\n(.*?)```", PAGES, re.DOTALL) if "litellm_vllm" in text]
CONFIGS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


PAGE = "\n".join(
    re.findall(
        r"<!-- run: litellm -->\n```python\n(.*?)```",
        (PACKAGE.parents[1] / "docs" / "litellm.md").read_text("utf-8"),
        re.DOTALL,
    )
)
SNIPPETS.append(PAGE)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with SimServer(models=["llama", "bge", "bge-reranker"]) as server:
        monkeypatch.setenv("GPU2_URL", server.url)
        code = re.sub(r"http://(localhost|gpu1):8000", server.url, SNIPPETS[number])
        exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
        assert server.requests


def test_the_proxys_configuration_is_the_one_that_is_tested() -> None:
    (config,) = map(yaml.safe_load, CONFIGS)
    (provider,) = config["litellm_settings"]["custom_provider_map"]
    assert provider == {"provider": "vllm-connect", "custom_handler": "litellm_vllm_connect.handler"}
    assert all(m["litellm_params"]["model"].startswith("vllm-connect/") for m in config["model_list"])


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 4
