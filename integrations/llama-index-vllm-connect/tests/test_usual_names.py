"""Names of other integrations, and parameters without effect, are refused with what to use."""

from __future__ import annotations

import pytest
from llama_index.core.llms import ChatMessage
from pydantic import ValidationError

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from llama_index.postprocessor.vllm_connect import VLLMRerank
from llama_index_vllm_connect.usual_names import _HERE

URL = "http://127.0.0.1:9"
HELLO = [ChatMessage(content="Hi")]


@pytest.mark.parametrize(
    ("cls", "name", "advice"),
    [
        (VLLM, "api_base", "base_url="),
        (VLLM, "model_name", "model="),
        (VLLM, "is_chat_model", "mode="),
        (VLLM, "generate_kwargs", "additional_kwargs"),
        (VLLM, "max_new_tokens", "max_tokens="),
        (VLLM, "should_use_structured_outputs", "always"),
        (VLLM, "headers", "default_headers="),
        (VLLMEmbedding, "model", "model_name="),
        (VLLMEmbedding, "check_embedding_ctx_length", "truncate_prompt_tokens=-1"),
        (VLLMEmbedding, "batch_size", "embed_batch_size="),
        (VLLMRerank, "top_k", "top_n="),
        (VLLMRerank, "max_length", "truncate_prompt_tokens="),
    ],
)
def test_a_usual_name_gets_advice(cls, name, advice):
    with pytest.raises(ValidationError, match=f"{cls.__name__} has no {name}=: use .*{advice}"):
        cls(base_url=URL, **{name: 1})


def test_all_advice_is_about_fields_that_are_there():
    fields = {name for cls in (VLLM, VLLMEmbedding, VLLMRerank) for name in cls.model_fields}
    assert {field for field, _ in _HERE.values()} <= fields
    assert not [name for name in _HERE if name in VLLM.model_fields and name in VLLMEmbedding.model_fields]


@pytest.mark.parametrize("name", ["generate_kwargs", "max_new_tokens", "stop_sequences", "is_chat_model"])
async def test_so_does_one_of_a_single_call(llm, ask, vllm_sim, name):
    with pytest.raises(TypeError, match=f"there is no {name}=: use "):
        await ask(llm, "chat", HELLO, **{name: 1})
    assert not vllm_sim.requests


async def test_thinking_is_switched_where_vllm_looks(vllm_sim, llm, ask, sent):
    await ask(llm, "chat", HELLO, enable_thinking=False)
    assert sent()[0]["chat_template_kwargs"] == {"enable_thinking": False}
    for given in ({"extra_body": {"enable_thinking": True}}, {}):  # which goes as it is
        further = {"additional_kwargs": {"extra_body": {"enable_thinking": True}}} if not given else {}
        await ask(VLLM(base_url=vllm_sim.url, **further), "chat", HELLO, **given)
        assert sent()[-1]["enable_thinking"] is True
        assert "chat_template_kwargs" not in sent()[-1]
    base = VLLM(base_url=vllm_sim.url, mode="completion")
    with pytest.raises(ValueError, match="no chat template"):
        await ask(base, "complete", "x", enable_thinking=False)


@pytest.mark.parametrize("stream", [True, 1])
async def test_a_stream_is_not_asked_for_by_a_parameter(llm, ask, vllm_sim, stream):
    for method, args in (("chat", HELLO), ("complete", "Hi")):
        with pytest.raises(ValueError, match="use stream_chat or stream_complete"):
            await ask(llm, method, args, stream=stream)
        with pytest.raises(ValueError, match="use chat or complete"):
            await ask(llm, f"stream_{method}", args, stream=False)
        assert await ask.stream(llm, f"stream_{method}", args, stream=stream)
    assert len(vllm_sim.requests) == 2


async def test_one_stop_string_is_a_text(vllm_sim, ask, sent):
    await ask(VLLM(base_url=vllm_sim.url, stop="x"), "chat", HELLO)
    await ask(VLLM(base_url=vllm_sim.url), "chat", HELLO, stop="x")
    assert [body["stop"] for body in sent()] == ["x", "x"]
