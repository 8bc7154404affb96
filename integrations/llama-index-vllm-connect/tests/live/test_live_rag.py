"""Scenarios E, F and G on real vLLM servers, as far as tiny models can play them."""

from __future__ import annotations

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SemanticSplitterNodeParser, SentenceSplitter
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RouterQueryEngine
from llama_index.core.selectors import PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool

TEXTS = ["Cats purr when they are happy.", "Paris is the capital of France.", "Dogs bark at strangers."]
QUESTION = "What is the capital of France?"

QA = PromptTemplate("{query_str}")  # the tiny model was not trained on LlamaIndex's own prompts


@pytest.fixture
def index(embedding) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS], embed_model=embedding)


@pytest.mark.parametrize(
    "mode", ["compact", "simple_summarize", "tree_summarize", "accumulate", "compact_accumulate"]
)
async def test_query_engines(index, llm, ask, reranker, mode):
    templates = {"summary_template": QA} if mode == "tree_summarize" else {"text_qa_template": QA}
    engine = index.as_query_engine(
        llm=llm, similarity_top_k=3, node_postprocessors=[reranker], response_mode=mode, **templates
    )
    response = await ask(engine, "query", QUESTION)
    assert "Paris" in str(response)
    assert response.source_nodes[0].node.text == TEXTS[1]


async def test_a_streamed_answer(index, llm, ask):
    engine = index.as_query_engine(llm=llm, streaming=True, text_qa_template=QA)
    response = await ask(engine, "query", QUESTION)
    if ask.kind == "sync":
        pieces = list(response.response_gen)
    else:
        pieces = [piece async for piece in response.async_response_gen()]
    assert "Paris" in "".join(pieces)


async def test_a_router(index, llm, ask):
    tools = [
        QueryEngineTool.from_defaults(
            index.as_query_engine(llm=llm, text_qa_template=QA), name=name, description=f"Knows {name}."
        )
        for name in ("capitals", "animals")
    ]
    selector = PydanticSingleSelector.from_defaults(
        llm=llm,
        prompt_template_str='Call SingleSelection {"index": 1, "reason": "it knows"}',
    )
    engine = RouterQueryEngine.from_defaults(tools, llm=llm, selector=selector)
    assert "Paris" in str(await ask(engine, "query", QUESTION))


async def test_a_chat_engine(llm, index, ask):
    engine = index.as_chat_engine(chat_mode="simple", llm=llm)
    await ask(engine, "chat", "My name is Ada.")
    assert "Ada" in str(await ask(engine, "chat", "What is my name?"))
    response = await ask(engine, "stream_chat", QUESTION)
    if ask.kind == "sync":
        pieces = list(response.response_gen)
    else:
        pieces = [piece async for piece in response.async_response_gen()]
    assert "Paris" in "".join(pieces)


async def test_ingestion(embedding, ask):
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=32, chunk_overlap=0), embedding]
    )
    docs = [Document(text=" ".join(TEXTS))]
    nodes = pipeline.run(documents=docs) if ask.kind == "sync" else await pipeline.arun(documents=docs)
    assert all(len(node.embedding) == 384 for node in nodes)


def test_semantic_splitter(embedding):
    splitter = SemanticSplitterNodeParser(embed_model=embedding, breakpoint_percentile_threshold=50)
    assert len(splitter.get_nodes_from_documents([Document(text=" ".join(TEXTS))])) > 1


async def test_embeddings(embedding, ask):
    batched = await ask(embedding, "get_text_embedding_batch", TEXTS)
    query = await ask(embedding, "get_query_embedding", QUESTION)
    scores = [embedding.similarity(query, vector) for vector in batched]
    assert max(scores) == scores[1]
