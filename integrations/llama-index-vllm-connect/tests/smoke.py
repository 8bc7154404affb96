"""Does it work in this environment? A script without pytest, for environments that hold little else.

python tests/smoke.py
"""

from __future__ import annotations

import asyncio
import importlib.util
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from llama_index.postprocessor.vllm_connect import VLLMRerank
from vllm_connect.sim import SimServer


class Place(BaseModel):
    city: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def check(url: str) -> None:
    llm = VLLM(base_url=url)
    message = [ChatMessage(content="Say: hello")]
    assert llm.chat(message).message.content == "hello"
    assert list(llm.stream_chat(message))[-1].message.content == "hello"
    assert llm.predict_and_call([FunctionTool.from_defaults(add)], "What is 1 + 2?").response == "3"
    prompt = PromptTemplate("What is the capital of France?")
    assert llm.structured_predict(Place, prompt).city == "Paris"
    docs = [Document(text=text) for text in ("Cats purr.", "Paris is the capital of France.")]
    index = VectorStoreIndex.from_documents(docs, embed_model=VLLMEmbedding(base_url=url))
    reranker = VLLMRerank(base_url=url, top_n=1)
    answer = index.as_query_engine(llm=llm, node_postprocessors=[reranker]).query(prompt.template)
    assert str(answer) == "The capital of France is Paris.", answer
    asyncio.run(acheck(llm, message))


async def acheck(llm: VLLM, message: list[Any]) -> None:
    assert (await llm.achat(message)).message.content == "hello"
    assert [each async for each in await llm.astream_chat(message)][-1].message.content == "hello"
    await llm.aclose()


def main() -> None:
    for name in ("openai", "llama-index-core", "llama-index", "llama-index-llms-openai", "vllm-connect"):
        try:
            print(f"{name} {version(name)}")
        except PackageNotFoundError:
            print(f"{name} is not installed")
    if importlib.util.find_spec("llama_index.llms.openai"):
        from llama_index.llms.openai import OpenAI

        assert OpenAI.class_name() != VLLM.class_name()
    with SimServer() as server:
        check(server.url)
    print("all is well")


if __name__ == "__main__":
    main()
