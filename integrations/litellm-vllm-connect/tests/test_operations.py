"""What LiteLLM has no door for: functions beside it."""

from __future__ import annotations

import io
import wave
from typing import Any

import litellm
import pytest

import litellm_vllm_connect
from tests.conftest import Asker
from vllm_connect.sim import SimServer

OWNER = {"owner": litellm_vllm_connect}
DOCUMENTS = ["Cats purr.", "Paris is the capital of France."]


def sound() -> io.BytesIO:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(b"\0\0" * 16000)
    file.seek(0)
    file.name = "silence.wav"
    return file


def at(server: SimServer, model: str) -> dict[str, Any]:
    return {**OWNER, "model": f"vllm-connect/{model}", "api_base": server.url}


async def test_rerank(ask: Asker, vllm_sim: SimServer) -> None:
    vllm_sim.fail_next("404", path="/v1/rerank")
    question = {"query": "What is the capital of France?", "documents": DOCUMENTS}
    reply = await ask("rerank", **at(vllm_sim, "sim-chat"), **question, top_n=1, return_documents=True)
    assert isinstance(reply, litellm.RerankResponse)
    (best,) = reply.results
    assert (best["index"], best["document"]) == (1, {"text": DOCUMENTS[1]})
    assert reply.meta["tokens"]["input_tokens"] > 0
    assert vllm_sim.requests[-1].path == "/rerank"


async def test_score(ask: Asker, vllm_sim: SimServer) -> None:
    reply = await ask("score", **at(vllm_sim, "sim-chat"), text_1="a", text_2=["a", "b"])
    assert len(reply.data) == 2


async def test_classify(ask: Asker, vllm_sim: SimServer) -> None:
    reply = await ask("classify", **at(vllm_sim, "sim-chat"), input=["good", "bad"])
    assert [item.index for item in reply.data] == [0, 1]


async def test_tokenize(ask: Asker, vllm_sim: SimServer) -> None:
    reply = await ask("tokenize", **at(vllm_sim, "sim-chat"), prompt="hello there")
    assert reply.count == len(reply.tokens) > 0


@pytest.mark.parametrize("response_format", ["json", "text", "verbose_json"])
async def test_transcription(ask: Asker, vllm_sim: SimServer, response_format: str) -> None:
    asked = {**at(vllm_sim, "sim-chat"), "response_format": response_format}
    reply = await ask("transcription", **asked, file=sound(), timeout=30)
    assert isinstance(reply, litellm.TranscriptionResponse)
    assert reply.text
    assert ("segments" in reply.model_dump()) is (response_format == "verbose_json")


async def test_errors(ask: Asker, vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("401")
    with pytest.raises(litellm.AuthenticationError):
        await ask("tokenize", **at(vllm_sim, "sim-chat"), prompt="a")
    with pytest.raises(litellm.BadRequestError, match="promt"):
        await ask("tokenize", **at(vllm_sim, "sim-chat"), prompt="a", promt="b")
    with pytest.raises(litellm.BadRequestError, match="stream"):
        await ask("transcription", **at(vllm_sim, "sim-chat"), file=sound(), stream=True)


async def test_they_are_closed_to_providers_of_ones_own() -> None:
    """Why they are here; if this fails, LiteLLM has opened them."""
    with pytest.raises(Exception, match=r"(?i)provider"):
        litellm.rerank(model="vllm-connect/sim-chat", query="a", documents=["b"])
    with pytest.raises(Exception, match="LlmProviders"):
        litellm.transcription(model="vllm-connect/sim-chat", file=sound())
