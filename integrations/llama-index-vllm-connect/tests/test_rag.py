"""Indexes, query engines, chat engines and ingestion."""

from __future__ import annotations

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.response.schema import PydanticResponse
from llama_index.core.extractors import TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SemanticSplitterNodeParser, SentenceSplitter
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RetrieverQueryEngine,
    RouterQueryEngine,
    SubQuestionQueryEngine,
)
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.tools import QueryEngineTool
from pydantic import BaseModel

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from vllm_connect import InternalServerError

TEXTS = [
    "Cats purr when they are happy.",
    "Paris is the capital of France.",
    "Rome is the capital of Italy.",
    "Dogs bark.",
]
# The question ends the prompt of every response mode, so the simulator obeys it.
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
MODES = ["compact", "refine", "tree_summarize", "simple_summarize", "accumulate", "compact_accumulate"]


class Place(BaseModel):
    """A capital."""

    city: str
    country: str


@pytest.fixture(params=[False, True], ids=["sync-index", "async-index"])
def index(request: pytest.FixtureRequest, embedding: VLLMEmbedding) -> VectorStoreIndex:
    # An index that embeds asynchronously does so in a loop of its own.
    docs = [Document(text=text) for text in TEXTS]
    return VectorStoreIndex.from_documents(docs, embed_model=embedding, use_async=request.param)


@pytest.mark.parametrize("mode", MODES)
async def test_response_modes(index, llm, ask, reranker, mode):
    engine = index.as_query_engine(
        llm=llm,
        similarity_top_k=4,
        node_postprocessors=[reranker],
        response_mode=mode,
        # The simulator answers what is asked first, so the question has to come before the context.
        refine_template=PromptTemplate("{query_str}\n{existing_answer}\n{context_msg}"),
    )
    response = await ask(engine, "query", QUESTION)
    assert ANSWER in str(response)
    assert response.source_nodes[0].node.text == TEXTS[1]
    assert len(response.source_nodes) == 2


async def test_a_streamed_answer(index, llm, ask, reranker):
    engine = index.as_query_engine(llm=llm, streaming=True, node_postprocessors=[reranker])
    response = await ask(engine, "query", QUESTION)
    pieces = await ask.pieces(response)
    assert "".join(pieces) == ANSWER
    assert len(pieces) > 3


async def test_a_streamed_answer_that_breaks_off(index, llm, ask, vllm_sim):
    engine = index.as_query_engine(llm=llm, streaming=True)
    vllm_sim.fail_next("error_chunk", path="/v1/chat/completions", after=6)

    async def read() -> None:
        response = await ask(engine, "query", QUESTION)
        await ask.pieces(response)

    with pytest.raises(InternalServerError):
        await read()


async def test_retriever_query_engine(index, llm, ask, reranker):
    engine = RetrieverQueryEngine.from_args(
        index.as_retriever(similarity_top_k=3), llm=llm, node_postprocessors=[reranker]
    )
    assert str(await ask(engine, "query", QUESTION)) == ANSWER


async def test_an_object_as_answer(index, llm, ask, sent):
    engine = index.as_query_engine(llm=llm, output_cls=Place, response_mode="tree_summarize")
    response = await ask(engine, "query", QUESTION)
    assert isinstance(response, PydanticResponse)
    assert response.response == Place(city="Paris", country="France")
    assert sent()[-1]["response_format"]["type"] == "json_schema"


async def test_citations(index, llm, ask):
    engine = CitationQueryEngine.from_args(index, llm=llm, similarity_top_k=2)
    response = await ask(engine, "query", QUESTION)
    assert str(response) == ANSWER
    assert response.source_nodes[0].node.text.startswith("Source 1:")


def tools_of(index: VectorStoreIndex, llm: VLLM) -> list[QueryEngineTool]:
    return [
        QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), name=name, description=f"Knows {name}.")
        for name in ("capitals", "animals")
    ]


async def test_a_router_that_chooses_by_schema(index, llm, ask, sent):
    engine = RouterQueryEngine.from_defaults(
        tools_of(index, llm), llm=llm, selector=PydanticSingleSelector.from_defaults(llm=llm)
    )
    response = await ask(engine, "query", QUESTION)
    assert str(response) == ANSWER
    assert response.metadata["selector_result"].selections
    assert any("tools" in body or "response_format" in body for body in sent())


async def test_a_router_that_reads_the_choice(index, llm, ask):
    said = 'Query: Say: [{"choice": 2, "reason": "r"}]'
    selector = LLMSingleSelector.from_defaults(
        llm=llm, prompt_template_str=said + "\n{num_choices} {context_list} {query_str}"
    )
    engine = RouterQueryEngine.from_defaults(tools_of(index, llm), llm=llm, selector=selector)
    response = await ask(engine, "query", QUESTION)
    assert str(response) == ANSWER
    assert response.metadata["selector_result"].ind == 1


async def test_sub_questions(index, llm, ask):
    said = f'Query: Say: {{"items": [{{"sub_question": "{QUESTION}", "tool_name": "capitals"}}]}}'
    generator = LLMQuestionGenerator.from_defaults(llm=llm, prompt_template_str=said)
    engine = SubQuestionQueryEngine.from_defaults(
        tools_of(index, llm), llm=llm, question_gen=generator, use_async=ask.kind == "async", verbose=False
    )
    response = await ask(engine, "query", QUESTION)
    assert str(response) == ANSWER


@pytest.mark.parametrize("mode", ["simple", "context", "condense_question", "condense_plus_context", "best"])
async def test_chat_engines(index, llm, ask, mode):
    engine = index.as_chat_engine(chat_mode=mode, llm=llm)
    assert ANSWER in str(await ask(engine, "chat", QUESTION))
    assert str(await ask(engine, "chat", "My name is Ada."))
    response = await ask(engine, "stream_chat", QUESTION)
    pieces = await ask.pieces(response)
    assert "".join(pieces)
    if mode in ("simple", "context"):
        assert "".join(pieces) == ANSWER
        assert "Ada" in str(await ask(engine, "chat", "What is my name?"))


async def test_ingestion(llm, embedding, ask):
    titles = TitleExtractor(
        llm=llm,
        nodes=1,
        node_template="{context_str}\nSay: A title",
        combine_template="{context_str}\nSay: A title",
    )
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0), titles, embedding]
    )
    nodes = await ask(pipeline, "run", documents=[Document(text=" ".join(TEXTS))])
    assert nodes
    assert all(len(node.embedding) == 384 for node in nodes)
    assert nodes[0].metadata["document_title"] == "A title"


async def test_semantic_splitter(embedding, ask):
    splitter = SemanticSplitterNodeParser(embed_model=embedding, breakpoint_percentile_threshold=50)
    docs = [Document(text=" ".join(TEXTS))]
    assert len(await ask(splitter, "get_nodes_from_documents", docs)) > 1


async def test_ingestion_with_a_cache_of_embeddings(vllm_sim, ask, sent):
    embedding = VLLMEmbedding(
        base_url=vllm_sim.url, embeddings_cache=SimpleKVStore(), num_workers=4, embed_batch_size=1
    )
    for _ in range(2):
        pipeline = IngestionPipeline(transformations=[embedding], disable_cache=True)
        await ask(pipeline, "run", documents=[Document(text=text) for text in TEXTS])
    assert len(sent("/v1/embeddings")) == len(TEXTS)


def test_context_window_packs_prompts(llm, sent):
    """What the server says of its context decides how much goes into one prompt."""
    from llama_index.core import SummaryIndex

    long = [Document(text=f"{word} " * 700) for word in ("one", "two", "three")]
    index = SummaryIndex.from_documents(long)
    index.as_query_engine(llm=llm, response_mode="compact").query(QUESTION)
    assert len(sent()) == 1
    small = llm.model_copy(update={"context_window": 1500})
    index.as_query_engine(llm=small, response_mode="compact").query(QUESTION)
    assert len(sent()) > 2


async def test_predict(llm, ask, sent):
    system = llm.model_copy(update={"system_prompt": "Be brief."})
    assert await ask(system, "predict", PromptTemplate("Say: {x}"), x="y") == "y"
    assert [message["role"] for message in sent()[0]["messages"]] == ["system", "user"]
    if ask.kind == "sync":
        pieces = list(system.stream(PromptTemplate("Say: {x}"), x="a b c"))
    else:
        pieces = [piece async for piece in await system.astream(PromptTemplate("Say: {x}"), x="a b c")]
    assert "".join(pieces) == "a b c"
