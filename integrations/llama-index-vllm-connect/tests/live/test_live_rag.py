"""Query engines, chat engines and ingestion on real vLLM servers.

The tiny model was trained on questions, not on LlamaIndex's own prompts, so every prompt here is the question
alone or `Say: …`. What it cannot play, and the simulator does instead:

* a choice, a sub-question or a citation of its own: it repeats those in the prompt, or is held to them;
* an answer from a context: it knows its answers by heart.
"""

from __future__ import annotations

import json
from typing import Any

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

TEXTS = ["Cats purr when they are happy.", "Paris is the capital of France.", "Dogs bark at strangers."]
QUESTION = "What is the capital of France?"

QA = PromptTemplate("{query_str}")
TEMPLATES = {"text_qa_template": QA, "refine_template": QA, "summary_template": QA}
MODES = ["compact", "refine", "tree_summarize", "simple_summarize", "accumulate", "compact_accumulate"]


class Place(BaseModel):
    """A capital."""

    city: str
    country: str


@pytest.fixture(params=[False, True], ids=["sync-index", "async-index"])
def index(request: pytest.FixtureRequest, embedding: Any) -> VectorStoreIndex:
    docs = [Document(text=text) for text in TEXTS]
    return VectorStoreIndex.from_documents(docs, embed_model=embedding, use_async=request.param)


@pytest.mark.parametrize("mode", MODES)
async def test_response_modes(index, llm, ask, reranker, mode):
    engine = index.as_query_engine(
        llm=llm, similarity_top_k=3, node_postprocessors=[reranker], response_mode=mode, **TEMPLATES
    )
    response = await ask(engine, "query", QUESTION)
    assert "Paris" in str(response)
    assert response.source_nodes[0].node.text == TEXTS[1]
    assert len(response.source_nodes) == 2


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize"])
async def test_a_streamed_answer(index, llm, ask, mode):
    engine = index.as_query_engine(llm=llm, streaming=True, response_mode=mode, **TEMPLATES)
    assert "Paris" in "".join(await ask.pieces(await ask(engine, "query", QUESTION)))


async def test_retriever_query_engine(index, llm, ask, reranker):
    engine = RetrieverQueryEngine.from_args(
        index.as_retriever(similarity_top_k=3), llm=llm, node_postprocessors=[reranker], **TEMPLATES
    )
    assert "Paris" in str(await ask(engine, "query", QUESTION))


async def test_an_object_as_answer(index, llm, ask):
    engine = index.as_query_engine(llm=llm, output_cls=Place, response_mode="tree_summarize", **TEMPLATES)
    response = await ask(engine, "query", QUESTION)
    assert isinstance(response, PydanticResponse)
    assert isinstance(response.response, Place)


async def test_citations(index, llm, ask):
    engine = CitationQueryEngine.from_args(
        index, llm=llm, similarity_top_k=2, citation_qa_template=QA, citation_refine_template=QA
    )
    response = await ask(engine, "query", QUESTION)
    assert "Paris" in str(response)
    assert response.source_nodes[0].node.text.startswith("Source 1:")


def tools_of(index: VectorStoreIndex, llm: Any) -> list[QueryEngineTool]:
    engine = index.as_query_engine(llm=llm, **TEMPLATES)
    return [
        QueryEngineTool.from_defaults(engine, name=name, description=f"Knows {name}.")
        for name in ("capitals", "animals")
    ]


async def test_a_router_that_chooses_by_schema(index, llm, ask):
    selector = PydanticSingleSelector.from_defaults(
        llm=llm, prompt_template_str='Call SingleSelection {"index": 1, "reason": "it knows"}'
    )
    engine = RouterQueryEngine.from_defaults(tools_of(index, llm), llm=llm, selector=selector)
    assert "Paris" in str(await ask(engine, "query", QUESTION))


async def test_a_router_that_reads_the_choice(index, llm, ask):
    choice = json.dumps([{"choice": 2, "reason": "r"}])
    held = llm.model_copy(update={"structured_outputs": {"choice": [choice]}})
    selector = LLMSingleSelector.from_defaults(
        llm=held, prompt_template_str="{num_choices} {context_list} {query_str}"
    )
    engine = RouterQueryEngine.from_defaults(tools_of(index, llm), llm=llm, selector=selector)
    response = await ask(engine, "query", QUESTION)
    assert "Paris" in str(response)
    assert response.metadata["selector_result"].ind == 1


async def test_sub_questions(index, llm, ask):
    asked = [
        {"sub_question": QUESTION, "tool_name": "capitals"},
        {"sub_question": "What is the capital of Italy?", "tool_name": "animals"},
    ]
    held = llm.model_copy(update={"structured_outputs": {"choice": [json.dumps({"items": asked})]}})
    generator = LLMQuestionGenerator.from_defaults(llm=held, prompt_template_str="{tools_str} {query_str}")
    engine = SubQuestionQueryEngine.from_defaults(
        tools_of(index, llm), llm=llm, question_gen=generator, use_async=ask.kind == "async", verbose=False
    )
    engine.update_prompts({"response_synthesizer:text_qa_template": QA})
    response = await ask(engine, "query", QUESTION)
    assert "Paris" in str(response)
    answers = [source.node.text for source in response.source_nodes if "Sub question" in source.node.text]
    assert len(answers) == 2
    assert "Rome" in answers[1]


CHAT_ENGINES: dict[str, dict[str, Any]] = {
    "simple": {},
    "context": {"context_template": "Be brief. {context_str}"},
    "condense_question": {"condense_question_prompt": PromptTemplate("Say: {question}"), **TEMPLATES},
    "condense_plus_context": {
        "condense_prompt": "Say: {question}",
        "context_prompt": "Be brief. {context_str}",
    },
    "best": {"system_prompt": "Be brief."},
}


@pytest.mark.parametrize("mode", CHAT_ENGINES)
async def test_chat_engines(index, llm, ask, mode):
    engine = index.as_chat_engine(chat_mode=mode, llm=llm, similarity_top_k=1, **CHAT_ENGINES[mode])
    assert "Paris" in str(await ask(engine, "chat", QUESTION))
    if mode in ("simple", "context", "condense_plus_context"):  # the others ask the index, which knows no Ada
        await ask(engine, "chat", "My name is Ada.")
        assert "Ada" in str(await ask(engine, "chat", "What is my name?"))
    # Told to say a question again, the model answers it; a greeting it says.
    again, answer = ("Hello", "Hello!") if mode == "condense_question" else (QUESTION, "Paris")
    response = await ask(engine, "stream_chat", again)
    assert answer in "".join(await ask.pieces(response))


async def test_ingestion(llm, embedding, ask):
    title = {"node_template": "Say: A title", "combine_template": "Say: A title"}
    pipeline = IngestionPipeline(
        transformations=[
            SentenceSplitter(chunk_size=32, chunk_overlap=0),
            TitleExtractor(llm=llm, nodes=1, **title),
            embedding,
        ]
    )
    nodes = await ask(pipeline, "run", documents=[Document(text=" ".join(TEXTS))])
    assert all(len(node.embedding) == 384 for node in nodes)
    assert nodes[0].metadata["document_title"] == "A title"


async def test_semantic_splitter(embedding, ask):
    splitter = SemanticSplitterNodeParser(embed_model=embedding, breakpoint_percentile_threshold=50)
    docs = [Document(text=" ".join(TEXTS))]
    assert len(await ask(splitter, "get_nodes_from_documents", docs)) > 1


async def test_embeddings(embedding, ask, capsys):
    batched = await ask(embedding, "get_text_embedding_batch", TEXTS, show_progress=True)
    assert "Generating embeddings" in capsys.readouterr().err
    query = await ask(embedding, "get_query_embedding", QUESTION)
    scores = [embedding.similarity(query, vector) for vector in batched]
    assert max(scores) == scores[1]


async def test_a_cache_of_embeddings_and_many_requests(embedding, ask):
    cached = embedding.model_copy(
        update={"embeddings_cache": SimpleKVStore(), "num_workers": 4, "embed_batch_size": 1}
    )
    first = await ask(cached, "get_text_embedding_batch", TEXTS * 4)
    again = await ask(cached, "get_text_embedding_batch", TEXTS * 4)
    assert again == first
    assert len(cached.embeddings_cache.get_all(collection="embeddings")) == len(TEXTS)
    plain = await ask(embedding, "get_text_embedding_batch", TEXTS)
    assert embedding.similarity(plain[1], first[1]) > 0.999


async def test_a_text_too_long_is_cut(embedding, ask):
    assert len(await ask(embedding, "get_text_embedding", "word " * 1000)) == 384
