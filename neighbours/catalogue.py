"""The tools, and where each is installed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tool:
    """A tool of another project.

    Attributes:
        name: As its project writes it.
        module: Its file in `tools/`.
        distribution: Whose version the matrix shows.
        environments: The files of `environments/` that install it, without their suffix.
        quick: Whether `--quick` runs it, in the first of its environments.
    """

    name: str
    module: str
    distribution: str
    environments: tuple[str, ...]
    quick: bool = False


TOOLS = (
    Tool("the SDK's surface", "sdk", "", ("agents", "openai2"), quick=True),
    Tool("openai-agents", "openai_agents", "openai-agents", ("agents", "openai2"), quick=True),
    Tool("pydantic-ai", "pydantic_ai", "pydantic-ai-slim", ("agents",), quick=True),
    Tool("langchain-openai", "langchain_openai", "langchain-openai", ("agents",), quick=True),
    Tool("autogen-ext", "autogen", "autogen-ext", ("agents",), quick=True),
    Tool("instructor", "instructor", "instructor", ("frameworks", "openai2")),
    Tool("Streamlit", "streamlit", "streamlit", ("agents",), quick=True),
    Tool("FastAPI", "fastapi", "fastapi", ("agents",), quick=True),
)

NOT_HERE = {
    "marvin": "3.2.7 imports a name that pydantic-ai has removed.",
    "langroid": "Downloads a tokenizer before the first call.",
    "verifiers": "Needs data sets from a hub.",
    "fastmcp": "4 has no `ctx.sample` any more, which was where a client went in.",
    "LangChain's and LlamaIndex's own packages": "have `langchain-vllm` and "
    "`llama-index-vllm-connect`, with tests of their own.",
}
