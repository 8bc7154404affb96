"""One client, several servers."""

from __future__ import annotations

import pytest
from tests.operations.answers import ask, content, stream

from vllm_connect import APIConnectionError, Key, NoKeyError

NOBODY = "http://127.0.0.1:9"


class TestSeveralServers:
    @pytest.fixture
    def client(self, connect, chat_url, embed_url):
        keys = [
            Key(name="talk", url=chat_url, models=["tiny-chat"]),
            Key(name="embed", url=embed_url, models=["tiny-embed"]),
        ]
        return connect(keys=keys)

    async def test_each_model_has_its_server(self, client):
        assert (await ask(client, "Say: hello")).choices[0].message.content == "hello"
        assert content(await stream(client, "Say: hello")) == "hello"
        response = await client("embeddings.create", model="tiny-embed", input="hello")
        assert len(response.data[0].embedding) == 384
        with pytest.raises(NoKeyError, match=r"(?s)talk.*embed"):
            await ask(client, "Say: hello", model="tiny-vision")

    async def test_models_of_all(self, client):
        page = await client("models.list")
        assert [(model.id, model.key_names) for model in page.data] == [
            ("tiny-chat", ["talk"]),
            ("tiny-embed", ["embed"]),
        ]
        assert [(one.key_name, one.status) for one in page.key_statuses] == [
            ("talk", "success"),
            ("embed", "success"),
        ]

    async def test_servers_by_key(self, client):
        for name in ("talk", "embed"):
            assert await client("server.health", key=name) is True
            assert f'model_name="tiny-{"chat" if name == "talk" else name}"' in await client(
                "server.metrics", key=name
            )

    async def test_one_is_down(self, connect, chat_url):
        keys = [Key(name="up", url=chat_url), Key(name="down", url=NOBODY)]
        page = await connect(keys=keys)("models.list")
        assert [model.id for model in page.data] == ["tiny-chat"]
        up, down = page.key_statuses
        assert (up.key_name, up.status, up.error) == ("up", "success", None)
        assert (down.key_name, down.status) == ("down", "list_models_failed")
        assert NOBODY in down.error

    async def test_all_are_down(self, connect):
        keys = [Key(name="down", url=NOBODY), Key(name="gone", url=NOBODY)]
        with pytest.raises(APIConnectionError, match="down"):
            await connect(keys=keys)("models.list")

    async def test_alias_and_model_name(self, connect, chat_url, vision_url):
        """Two servers behind one name, told apart by what the key calls its model."""
        keys = [
            Key(name="a", url=chat_url, aliases={"small": "tiny-chat"}, models=["small"]),
            Key(name="b", url=vision_url, model_name="tiny-vision"),
        ]
        client = connect(keys=keys)
        assert (await ask(client, "Say: hello", model="small")).model == "tiny-chat"
        assert (await ask(client, "Say: hello", model="tiny-vision")).model == "tiny-vision"

    async def test_another_server_after_a_failure(self, make_client, chat_url):
        """A retry goes to a server that was not tried yet."""
        keys = [Key(name="down", url=NOBODY, weight=1000), Key(name="up", url=chat_url, weight=0.001)]
        client = make_client(keys=keys, max_retries=1)
        assert (await ask(client, "Say: hello")).choices[0].message.content == "hello"
        assert content(await stream(client, "Say: hello")) == "hello"
