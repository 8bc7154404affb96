"""Tokens, models, and the server itself."""

from __future__ import annotations

import re

import pytest
from openai.types import Model
from tests.both import each, settled
from tests.operations.answers import MODEL, QUIET, WEATHER, user
from tests.operations.catalogue import covers

from vllm_connect import BadRequestError, NotFoundError

PROMPT = "<|im_start|>user\nSay: hello<|im_end|>\n<|im_start|>assistant\n"


class TestTokens:
    """Tokenize and detokenize."""

    @covers("tokenize")
    @covers("detokenize")
    async def test_there_and_back(self, chat):
        text = "Grüße, 世界 🎉"
        tokenized = await chat("tokenize", model=MODEL, prompt=text)
        assert tokenized.count == len(tokenized.tokens)
        assert tokenized.max_model_len == 2048
        assert tokenized.token_strs is None
        assert (await chat("detokenize", model=MODEL, tokens=tokenized.tokens)).prompt == text

    async def test_token_texts(self, chat):
        tokenized = await chat("tokenize", model=MODEL, prompt="Say: hello", return_token_strs=True)
        assert tokenized.token_strs == ["Say", ":", "Ġ", "hello"]

    async def test_conversation(self, chat):
        tokenized = await chat("tokenize", model=MODEL, messages=[user("Say: hello")])
        prompt = (await chat("detokenize", model=MODEL, tokens=tokenized.tokens)).prompt
        assert prompt == PROMPT
        quiet = await chat("tokenize", model=MODEL, messages=[user("Say: hello")], **QUIET)
        prompt = (await chat("detokenize", model=MODEL, tokens=quiet.tokens)).prompt
        assert prompt == PROMPT + "<think>\n\n</think>\n\n"

    async def test_tools(self, chat):
        tokenized = await chat("tokenize", model=MODEL, messages=[user("Say: hello")], tools=[WEATHER])
        prompt = (await chat("detokenize", model=MODEL, tokens=tokenized.tokens)).prompt
        assert "<tools>\nget_weather(city: string)\n</tools>" in prompt

    async def test_special_tokens(self, embed):
        bare = await embed("tokenize", model="tiny-embed", prompt="hello", add_special_tokens=False)
        full = await embed("tokenize", model="tiny-embed", prompt="hello")
        assert full.tokens[1:-1] == bare.tokens

    async def test_errors(self, chat):
        with pytest.raises(NotFoundError, match="nobody"):
            await chat("tokenize", model="nobody", prompt="hello")
        with pytest.raises(BadRequestError):
            await chat("detokenize", model=MODEL, tokens=[-1])


class TestModels:
    """The list of models."""

    @covers("models.list")
    async def test_list(self, chat):
        page = await chat("models.list")
        (model,) = page.data
        assert isinstance(model, Model)
        assert (model.id, model.object, model.owned_by) == (MODEL, "model", "vllm")
        assert (model.max_model_len, model.parent) == (2048, None)
        assert model.root.endswith(f"/{MODEL}")
        assert model.created > 1_700_000_000
        assert model.key_names == ["default"]
        assert [(one.key_name, one.status, one.error) for one in page.key_statuses] == [
            ("default", "success", None)
        ]

    async def test_iteration(self, chat):
        assert [model.id async for model in each(chat.client.models.list())] == [MODEL]


class TestServer:
    """Health, version, load and metrics."""

    @covers("server.health")
    async def test_health(self, chat):
        assert await chat("server.health") is True

    @covers("server.version")
    async def test_version(self, chat):
        assert re.match(r"\d+\.\d+\.\d+", await chat("server.version"))

    @covers("server.load")
    async def test_load(self, chat):
        assert await chat("server.load") >= 0

    @covers("server.metrics")
    async def test_metrics(self, chat):
        metrics = await chat("server.metrics")
        assert re.search(r'^vllm:num_requests_running{.*model_name="tiny-chat"} \d', metrics, re.MULTILINE)

    async def test_key_by_name(self, chat):
        assert await chat("server.health", key="default") is True

    async def test_raw_response(self, chat):
        raw = await chat("server.with_raw_response.version")
        assert raw.http_response.request.url.path == "/version"
        assert re.match(r"\d+\.\d+\.\d+", await settled(raw.parse()))
