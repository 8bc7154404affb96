"""A LoRA adapter that is made on the spot, loaded, asked and unloaded; and what a server tells of itself."""

from __future__ import annotations

import pytest
from tests.lora import write_adapter

from vllm_connect import APITimeoutError, BadRequestError, NotFoundError

MODEL, ADAPTER = "tiny-open", "louder"
ASKED = {"messages": [{"role": "user", "content": "Say: hello"}], "max_tokens": 8, "logprobs": True}


async def test_an_adapter_is_a_model_while_it_is_loaded(open, tmp_path):
    write_adapter(tmp_path)
    said = await open("lora.load", lora_name=ADAPTER, lora_path=str(tmp_path))
    assert ADAPTER in said
    try:
        parents = {model.id: model.parent for model in (await open("models.list")).data}
        assert parents == {MODEL: None, ADAPTER: MODEL}
        changed = await open("chat.completions.create", model=ADAPTER, temperature=0, **ASKED)
        plain = await open("chat.completions.create", model=MODEL, temperature=0, **ASKED)
        assert changed.model == ADAPTER
        with pytest.raises(BadRequestError, match="has already been loaded"):
            await open("lora.load", lora_name=ADAPTER, lora_path=str(tmp_path))
        assert ADAPTER in await open(
            "lora.load", lora_name=ADAPTER, lora_path=str(tmp_path), load_inplace=True
        )
        assert changed.choices[0].logprobs.content[0].logprob != plain.choices[0].logprobs.content[0].logprob
    finally:
        assert ADAPTER in await open("lora.unload", lora_name=ADAPTER)
    with pytest.raises(NotFoundError):
        await open("chat.completions.create", model=ADAPTER, **ASKED)


async def test_a_server_tells_of_itself(open):
    info = await open("server.server_info", config_format="json")
    assert info["vllm_config"]["model_config"]["served_model_name"]
    assert isinstance((await open("server.server_info"))["vllm_config"], str)


async def test_metrics_count(open):
    before = await open("server.metrics")
    await open("chat.completions.create", model=MODEL, **ASKED)
    after = await open("server.metrics")
    assert after.generation_tokens > before.generation_tokens
    assert after.prompt_tokens > before.prompt_tokens
    assert after.time_to_first_token > 0
    assert (after.running, after.waiting) == (0, 0)
    assert 0 <= after.kv_cache_usage <= 1


async def test_who_asks_while_it_sleeps_waits(open):
    await open("server.sleep", level=1, mode="wait")
    try:
        with pytest.raises(APITimeoutError):
            await open("chat.completions.create", model=MODEL, timeout=1.5, **ASKED)
        with pytest.raises(BadRequestError):
            await open("chat.completions.create", model=MODEL, temperature=5, **ASKED)
    finally:
        await open("server.wake_up")
    answer = await open("chat.completions.create", model=MODEL, **ASKED)
    assert answer.choices[0].message.reasoning
