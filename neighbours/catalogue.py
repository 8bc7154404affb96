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
    Tool("outlines", "outlines", "outlines", ("agents",)),
    Tool("Agent Framework", "agent_framework", "agent-framework-openai", ("agents",)),
    Tool("CAMEL", "camel", "camel-ai", ("frameworks",)),
    Tool("agno", "agno", "agno", ("agents",)),
    Tool("Haystack", "haystack", "haystack-ai", ("agents",)),
    Tool("smolagents", "smolagents", "smolagents", ("agents",)),
    Tool("Semantic Kernel", "semantic_kernel", "semantic-kernel", ("frameworks",)),
    Tool("deepeval", "deepeval", "deepeval", ("frameworks",)),
    Tool("Strands Agents", "strands", "strands-agents", ("openai2",)),
    Tool("CrewAI", "crewai", "crewai", ("openai2",)),
    Tool("LiteLLM", "litellm", "litellm", ("litellm",)),
    Tool("LiteLLM's proxy", "litellm_proxy", "litellm", ("litellm",)),
    Tool("DSPy", "dspy", "dspy", ("litellm",)),
    Tool("Inspect AI", "inspect_ai", "inspect-ai", ("litellm",)),
    Tool("Ray, joblib, processes", "processes", "ray", ("compute",)),
    Tool("unittest.mock", "mocks", "", ("agents", "openai2"), quick=True),
    Tool("vcrpy", "vcrpy", "vcrpy", ("agents", "openai2"), quick=True),
    Tool("respx", "respx", "respx", ("openai2",)),
    Tool("pytest-httpx", "pytest_httpx", "pytest-httpx", ("openai2",)),
    Tool("OpenTelemetry's httpx", "otel_httpx", "opentelemetry-instrumentation-httpx", ("openai2",)),
    Tool("OpenLLMetry", "openllmetry", "opentelemetry-instrumentation-openai", ("tracers",)),
    Tool("OpenInference", "openinference", "openinference-instrumentation-openai", ("tracers",)),
    Tool("Logfire", "logfire", "logfire", ("tracers",)),
    Tool("Langfuse", "langfuse", "langfuse", ("tracers",)),
    Tool("LangSmith", "langsmith", "langsmith", ("tracers",)),
    Tool("Sentry", "sentry", "sentry-sdk", ("tracers",)),
    Tool("ddtrace", "datadog", "ddtrace", ("tracers",)),
    Tool("MLflow", "mlflow", "mlflow", ("tracers",)),
)

NOT_HERE = {
    "marvin": "3.2.7 imports a name that pydantic-ai has removed.",
    "langroid": "Downloads a tokenizer before the first call.",
    "verifiers": "Needs data sets from a hub.",
    "Weave": "0.54 keeps calls on its own service only. Its patcher stands in the same places as MLflow's.",
    "fastmcp": "4 has no `ctx.sample` any more, which was where a client went in.",
    "LangChain's and LlamaIndex's own packages": "have `langchain-vllm` and "
    "`llama-index-vllm-connect`, with tests of their own.",
}
