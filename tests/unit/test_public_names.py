"""What is public is listed: in `__all__`, and for readers in docs/api.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "vllm_connect"
LANGCHAIN = ROOT / "integrations" / "langchain-vllm"
LLAMA_INDEX = ROOT / "integrations" / "llama-index-vllm-connect"
LITELLM = ROOT / "integrations" / "litellm-vllm-connect"

PUBLIC = {
    "vllm_connect": CORE,
    "vllm_connect.errors": CORE / "errors.py",
    "vllm_connect.types": CORE / "types",
    "vllm_connect.adapters": CORE / "adapters",
    "vllm_connect.ray": CORE / "ray.py",
    "vllm_connect.sim": CORE / "sim",
    "langchain_vllm": LANGCHAIN / "langchain_vllm",
    "llama_index.llms.vllm_connect": LLAMA_INDEX / "llama_index" / "llms" / "vllm_connect",
    "llama_index.embeddings.vllm_connect": LLAMA_INDEX / "llama_index" / "embeddings" / "vllm_connect",
    "llama_index.postprocessor.vllm_connect": LLAMA_INDEX / "llama_index" / "postprocessor" / "vllm_connect",
    "litellm_vllm_connect": LITELLM / "litellm_vllm_connect",
}
# Packages of the core that bear no underscore and yet are not for import: the operations hang on the
# client, and the command line is called from a shell. An `__all__` there is for their neighbours.
PRIVATE = {"resources", "responses_over_chat", "cli", "serve"}


def listed(path: Path) -> set[str]:
    """The names in a module's `__all__`."""
    source = path if path.suffix else path / "__init__.py"
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{source} has no __all__")


def documented() -> dict[str, set[str]]:
    """The names under each heading of docs/api.md."""
    sections = re.split(r"^## `([\w.]+)`$", (ROOT / "docs" / "api.md").read_text(), flags=re.MULTILINE)[1:]
    return {
        module: {name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in quoted(row)}
        for module, text in zip(sections[::2], sections[1::2], strict=True)
    }


def quoted(text: str) -> list[str]:
    return re.findall(r"`(\w+)`", text)


def imports(folder: Path) -> Iterator[tuple[str, str]]:
    """Module and name of everything that is imported from the core, anywhere in a folder."""
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vllm_connect":
                yield from ((str(node.module), alias.name) for alias in node.names)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] == "vllm_connect":
                        yield alias.name, ""


def test_the_documentation_knows_the_public_modules() -> None:
    assert set(documented()) == set(PUBLIC)


@pytest.mark.parametrize("module", PUBLIC)
def test_the_documentation_lists_what_a_module_lists(module: str) -> None:
    assert documented()[module] == listed(PUBLIC[module])


def test_everything_else_in_the_core_is_private() -> None:
    rooms = {path.stem for path in CORE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    public = {module.split(".")[1] for module in PUBLIC if module.startswith("vllm_connect.")}
    assert {name for name in rooms if not name.startswith("_")} == public | PRIVATE


@pytest.mark.parametrize(
    "folder",
    [
        LANGCHAIN / "langchain_vllm",
        LLAMA_INDEX / "llama_index",
        LLAMA_INDEX / "llama_index_vllm_connect",
        LITELLM / "litellm_vllm_connect",
    ],
    ids=lambda folder: folder.name,
)
def test_integrations_import_public_names_only(folder: Path) -> None:
    public = {(module, name) for module in PUBLIC for name in ("", *listed(PUBLIC[module]))}
    assert set(imports(folder)) <= public
