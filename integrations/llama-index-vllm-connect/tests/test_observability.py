"""Token counts, events, rate limits, evaluation and global settings."""

from __future__ import annotations

import time
from typing import Any

import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.evaluation import CorrectnessEvaluator, FaithfulnessEvaluator, RelevancyEvaluator
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.rate_limiter import TokenBucketRateLimiter

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from vllm_connect import InternalServerError

HELLO = [ChatMessage(content="Think: a b c\nSay: hello")]


CALLS: list[tuple[str, Any]] = [
    ("chat", HELLO),
    ("stream_chat", HELLO),
    ("complete", "Say: hello"),
    ("stream_complete", "Say: hello"),
]


@pytest.mark.parametrize(("method", "prompt"), CALLS)
@pytest.mark.parametrize("mode", ["chat", "completion"])
async def test_counted_tokens_are_the_servers(vllm_sim, ask, method, prompt, mode):
    counter = TokenCountingHandler()
    llm = VLLM(base_url=vllm_sim.url, mode=mode, callback_manager=CallbackManager([counter]))
    if method.startswith("stream"):
        response = (await ask.stream(llm, method, prompt))[-1]
    else:
        response = await ask(llm, method, prompt)
    usage = response.raw["usage"]
    assert counter.prompt_llm_token_count == usage["prompt_tokens"] > 0
    assert counter.completion_llm_token_count == usage["completion_tokens"] > 0


@pytest.mark.parametrize(("method", "prompt"), CALLS)
async def test_events(llm, ask, events, method, prompt):
    kind = "Completion" if "complete" in method else "Chat"
    if method.startswith("stream"):
        responses = await ask.stream(llm, method, prompt)
        assert events.names(f"LLM{kind}InProgress") == [f"LLM{kind}InProgressEvent"] * len(responses)
    else:
        await ask(llm, method, prompt)
    assert [name for name in events.names("LLM") if "InProgress" not in name] == [
        f"LLM{kind}StartEvent",
        f"LLM{kind}EndEvent",
    ]
    (start,) = [event for event in events.seen if event.class_name().endswith("StartEvent")]
    assert start.model_dict["class_name"] == "VLLMConnect_llm"


async def test_an_error_in_a_stream_is_told(llm, ask, events, vllm_sim):
    vllm_sim.fail_next("error_chunk", after=4)
    with pytest.raises(InternalServerError):
        await ask.stream(llm, "stream_chat", HELLO)
    assert events.names("Exception")


async def test_callbacks(vllm_sim, ask):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    manager = CallbackManager([debug])
    llm = VLLM(base_url=vllm_sim.url, callback_manager=manager)
    embedding = VLLMEmbedding(base_url=vllm_sim.url, callback_manager=manager)
    await ask(llm, "chat", HELLO)
    await ask(embedding, "get_text_embedding_batch", ["a", "b"])
    assert len(debug.get_event_pairs(CBEventType.LLM)) == 1
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 1


async def test_rate_limits(vllm_sim, ask):
    limiter = TokenBucketRateLimiter(requests_per_minute=60)
    taken: list[str] = []
    for name in ("acquire", "async_acquire"):
        _count(limiter, name, taken)
    llm = VLLM(base_url=vllm_sim.url, rate_limiter=limiter)
    embedding = VLLMEmbedding(base_url=vllm_sim.url, rate_limiter=limiter)
    await ask(llm, "complete", "Say: x")
    await ask(embedding, "get_text_embedding", "x")
    assert taken == ["acquire" if ask.kind == "sync" else "async_acquire"] * 2


def _count(limiter: Any, name: str, taken: list[str]) -> None:
    original = getattr(limiter, name)

    def counted() -> Any:
        taken.append(name)
        return original()

    object.__setattr__(limiter, name, counted)


@pytest.mark.parametrize("kind", [FaithfulnessEvaluator, RelevancyEvaluator])
@pytest.mark.parametrize("said", ["YES", "NO"])
async def test_evaluation(llm, ask, kind, said):
    template = PromptTemplate(f"{{context_str}} {{query_str}}\nSay: {said}")
    evaluator = kind(llm=llm, eval_template=template, refine_template=template)
    result = await ask(evaluator, "evaluate", query="q", response="r", contexts=["c"])
    assert result.passing == (said == "YES")


async def test_evaluation_by_a_score(llm, ask):
    evaluator = CorrectnessEvaluator(llm=llm, eval_template=PromptTemplate("Say: 4.5\nfine"))
    result = await ask(evaluator, "evaluate", query="q", response="r", reference="a")
    assert (result.score, result.feedback) == (4.5, "fine")


def test_settings(llm, embedding, vllm_sim):
    Settings.llm = llm
    Settings.embed_model = embedding
    Settings.tokenizer = llm.tokenizer
    index = VectorStoreIndex.from_documents([Document(text="Paris is the capital of France.")])
    answer = index.as_query_engine().query("What is the capital of France?")
    assert str(answer) == "The capital of France is Paris."
    assert "/tokenize" in {request.path for request in vllm_sim.requests}


def test_token_counts_by_the_servers_tokenizer(vllm_sim, llm):
    counter = TokenCountingHandler(tokenizer=llm.tokenizer)
    embedding = VLLMEmbedding(base_url=vllm_sim.url, callback_manager=CallbackManager([counter]))
    embedding.get_text_embedding("Größe is a word")
    assert counter.total_embedding_token_count == len(llm.tokenizer("Größe is a word"))


def test_a_chunk_costs_little(llm):
    """CPU per chunk in the adapter and LlamaIndex's decorator, without the server's own."""
    messages = [ChatMessage(content="Count to 2000")]
    llm.chat([ChatMessage(content="Say: warm")])
    costs = []
    for _ in range(3):
        begun = time.thread_time()
        chunks = sum(1 for _ in llm.stream_chat(messages))
        costs.append((time.thread_time() - begun) / chunks)
    assert chunks > 2000
    assert min(costs) < 300e-6  # generous: a busy machine must not fail here
