"""Several servers behind one model: balance, conversations that stay, LangGraph's threads."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.load import dumpd, load
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import ValidationError
from vllm_connect import ConfigError, Key
from vllm_connect._keys import watching
from vllm_connect.sim import SimServer

from langchain_vllm import ChatVLLM, VLLMCompletion, VLLMCrossEncoder, VLLMEmbeddings, VLLMRerank

CLASSES = [ChatVLLM, VLLMCompletion, VLLMCrossEncoder, VLLMEmbeddings, VLLMRerank]
every = pytest.mark.parametrize("cls", CLASSES)


@pytest.fixture(scope="module")
def _servers() -> Iterator[tuple[SimServer, SimServer]]:
    with SimServer() as first, SimServer() as second:
        yield first, second


@pytest.fixture
def servers(_servers: tuple[SimServer, SimServer]) -> tuple[SimServer, SimServer]:
    for server in _servers:
        server.reset()
    return _servers


@pytest.fixture
def keys(servers: tuple[SimServer, SimServer]) -> list[Key]:
    return [Key(name="a", url=servers[0].url), Key(name="b", url=servers[1].url)]


def counts(servers: tuple[SimServer, SimServer]) -> list[int]:
    return sorted(len(server.requests) for server in servers)


def sessions(servers: tuple[SimServer, SimServer]) -> set[str | None]:
    requests = servers[0].requests + servers[1].requests
    return {request.headers.get("x-session-id") for request in requests}


async def use(model: Any, kind: str) -> None:
    """Ask each class what it is for."""
    match model, kind:
        case VLLMEmbeddings(), "sync":
            model.embed_query("hello")
        case VLLMEmbeddings(), _:
            await model.aembed_query("hello")
        case VLLMRerank(), "sync":
            model.compress_documents([Document("a")], "b")
        case VLLMRerank(), _:
            await model.acompress_documents([Document("a")], "b")
        case VLLMCrossEncoder(), "sync":
            model.score([("a", "b")])
        case VLLMCrossEncoder(), _:
            await model.ascore([("a", "b")])
        case _, "sync":
            model.invoke("Say: hello")
        case _:
            await model.ainvoke("Say: hello")


@every
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_dead_server_is_passed_over(cls, kind, servers, keys):
    servers[0].fail_always("503")
    model = cls(keys=keys, max_retries=0)
    for _ in range(6):
        await use(model, kind)
    assert len(servers[0].requests) <= 1
    assert len(servers[1].requests) == 6


@every
def test_an_unknown_balance_is_refused(cls, keys):
    with pytest.raises(ValidationError, match=r"balance\n.*'weighted'.*'least_busy'.*'sticky'"):
        cls(keys=keys, balance="round")
    model = cls(keys=keys)
    model.balance = "round"
    with pytest.raises(ConfigError, match="balance is 'weighted'"):
        model._client()


@every
def test_the_balance_is_saved(cls, keys):
    model = cls(keys=keys, balance="sticky")
    loaded = load(dumpd(model), allowed_objects=[cls], valid_namespaces=["langchain_vllm"])
    assert loaded == model
    assert loaded.balance == "sticky"
    assert cls(**model.model_dump(exclude_none=True)).balance == "sticky"


@every
def test_models_of_another_balance_have_another_client(cls, keys):
    assert cls(keys=keys)._client() is cls(keys=keys)._client()
    assert cls(keys=keys)._client() is not cls(keys=keys, balance="least_busy")._client()


@pytest.mark.parametrize("cls", [ChatVLLM, VLLMCompletion])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_session_stays_and_is_named(cls, kind, servers, keys):
    model = cls(keys=keys, session_id="of the model")
    for number in range(6):
        await (
            model.ainvoke(f"Say: {number}")
            if kind == "async"
            else RunnableLambda(model.invoke).ainvoke(f"Say: {number}")
        )
    assert counts(servers) == [0, 6]
    assert sessions(servers) == {"of the model"}


@pytest.mark.parametrize("cls", [ChatVLLM, VLLMCompletion])
async def test_a_session_of_one_call(cls, servers, keys):
    model = cls(keys=keys, session_id="of the model")
    model.invoke("Say: 1", session_id="of a call")
    await model.ainvoke("Say: 2", session_id="of a call")
    list(model.stream("Say: 3", session_id="of a call"))
    async for _ in model.astream("Say: 4", session_id="of a call"):
        pass
    model.bind(session_id="of a call").invoke("Say: 5")
    assert counts(servers) == [0, 5]
    assert sessions(servers) == {"of a call"}


@pytest.mark.parametrize("session_id", [5, "", "two\nlines", "Grüße"])
async def test_a_session_that_no_header_can_carry_is_refused(servers, keys, session_id):
    model = ChatVLLM(keys=keys)
    with pytest.raises(TypeError, match="session_id must be text"):
        model.invoke("Say: 1", session_id=session_id)
    with pytest.raises(TypeError, match="session_id must be text"):
        async for _ in model.astream("Say: 1", session_id=session_id):
            pass
    assert counts(servers) == [0, 0]


def test_sticky_knows_a_conversation_by_its_beginning(servers, keys):
    model = ChatVLLM(keys=keys, balance="sticky")
    for number in range(4):
        messages: list[Any] = [HumanMessage(f"Say: {number}")]
        for _ in range(5):
            messages += [model.invoke(messages), HumanMessage("Say: more")]
    # Other tests' conversations count, too, since models of the same settings share a client.
    assert all(count % 5 == 0 for count in counts(servers))


class TestThreads:
    """A thread of LangGraph is a conversation, if the model is sticky."""

    @staticmethod
    def graph(model: Any) -> Any:
        """What a graph does with its config, as LangGraph itself does it: hand it on in the context."""
        return RunnableLambda(lambda text: model.invoke(text)) | RunnableLambda(lambda message: message)

    def test_a_thread_stays(self, servers, keys):
        model = ChatVLLM(keys=keys, balance="sticky")
        thread = uuid4()
        for number in range(6):
            self.graph(model).invoke(f"Say: {number}", {"configurable": {"thread_id": thread}})
        assert counts(servers) == [0, 6]
        assert sessions(servers) == {str(thread)}

    def test_an_agents_thread_stays(self, servers, keys):
        model = ChatVLLM(keys=keys, balance="sticky")
        agent = create_agent(model, system_prompt="Help.", checkpointer=InMemorySaver())
        for thread in ("one", "two"):
            for number in range(3):
                state = {"messages": [HumanMessage(f"Say: {number}")]}
                reply = agent.invoke(state, {"configurable": {"thread_id": thread}})
                assert reply["messages"][-1].content == str(number)
        first, second = ([each.headers["x-session-id"] for each in server.requests] for server in servers)
        assert sorted(first + second) == ["one"] * 3 + ["two"] * 3
        assert not set(first) & set(second)

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="tasks take over no context before Python 3.11")
    async def test_a_thread_stays_async(self, servers, keys):
        model = ChatVLLM(keys=keys, balance="sticky")

        async def node(text: str) -> Any:
            return await model.ainvoke(text)

        for number in range(6):
            await RunnableLambda(node).ainvoke(f"Say: {number}", {"configurable": {"thread_id": "t"}})
        assert counts(servers) == [0, 6]
        assert sessions(servers) == {"t"}

    def test_the_session_of_the_call_comes_first(self, servers, keys):
        model = ChatVLLM(keys=keys, balance="sticky", session_id="mine")
        self.graph(model).invoke("Say: 1", {"configurable": {"thread_id": "t"}})
        assert sessions(servers) == {"mine"}

    @pytest.mark.parametrize("thread", ["", "Grüße", None, 5.5])
    def test_what_no_header_can_carry_is_left_out(self, servers, keys, thread):
        model = ChatVLLM(keys=keys, balance="sticky")
        self.graph(model).invoke("Say: 1", {"configurable": {"thread_id": thread}})
        assert sessions(servers) == {None}

    def test_nobody_else_is_told(self, servers, keys):
        self.graph(ChatVLLM(keys=keys)).invoke("Say: 1", {"configurable": {"thread_id": "t"}})
        assert sessions(servers) == {None}


@every
def test_several_servers_of_a_configuration(cls, servers):
    config = {
        "keys": [
            {"name": "a", "value": "", "weight": 3, "vllm_key_config": {"url": servers[0].url}},
            {"name": "b", "value": "env.B", "vllm_key_config": {"url": servers[1].url}},
        ]
    }
    model = cls.from_config(config, balance="least_busy")
    assert [server.key_name for server in model._client().servers()] == ["a", "b"]
    loaded = load(dumpd(model), allowed_objects=[cls], valid_namespaces=["langchain_vllm"])
    assert [(key.name, key.weight, key.api_key) for key in loaded.keys] == [("a", 3, None), ("b", 1, "env.B")]
    assert loaded.balance == "least_busy"


@every
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_what_a_configuration_says_of_choosing_and_waiting_is_obeyed(cls, kind, servers, caplog):
    config = {
        "keys": [
            {"name": name, "vllm_key_config": {"url": server.url}}
            for name, server in zip("ab", servers, strict=True)
        ],
        "network_config": {"retry_backoff_initial": "10ms", "retry_backoff_max": "20ms", "max_retries": 1},
        "key_selection": {"strategy": "round_robin"},
    }
    apart = {
        "X-Test": f"{cls.__name__} {kind}"
    }  # models of the same settings share what they know of servers
    model = cls.from_config(config, default_headers=apart)
    assert caplog.text == ""
    for _ in range(6):
        await use(model, kind)
    assert counts(servers) == [3, 3]
    for server in servers:
        server.fail_next("503", times=1)
    await use(model, kind)  # in a second round, which does not wait for half a second
    assert counts(servers) in ([4, 5], [5, 5])
    assert cls.from_config(config, balance="weighted").balance == "weighted"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a configuration file, at which clients look before every request."""
    monkeypatch.setattr(watching, "INTERVAL", 0.0)

    def written(*servers, **provider):
        keys = [{"name": str(n), "vllm_key_config": {"url": each.url}} for n, each in enumerate(servers)]
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"providers": {"vllm": {"keys": keys, **provider}}}))
        return path

    return written


@every
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_the_next_request_goes_where_the_file_says(cls, kind, servers, write, caplog):
    first, second = servers
    path = write(first)
    model = cls.from_config(path, watch=True)
    clients = model._client(), model._async_client()
    await use(model, kind)
    write(second)
    await use(model, kind)
    assert [len(server.requests) for server in servers] == [1, 1]
    path.write_text("{")
    with caplog.at_level(logging.WARNING, "vllm_connect"):
        await use(model, kind)
    assert "stays as it was" in caplog.text
    assert [len(server.requests) for server in servers] == [1, 2]
    assert (model._client(), model._async_client()) == clients


@every
def test_a_file_says_how_often_to_try_again_unless_the_model_does(cls, servers, write):
    path = str(write(servers[0], network_config={"max_retries": 5}))
    assert cls(watched_config=path)._client().max_retries == 5
    assert cls.from_config(path, watch=True)._client().max_retries == 5
    assert cls(watched_config=path, max_retries=2)._client().max_retries == 2
    assert cls(watched_config=path, max_retries=2)._async_client().max_retries == 2


@every
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_all_of_a_file_share_a_client_whatever_it_says(cls, kind, servers, write):
    first, second = servers
    model = cls.from_config(write(first), watch=True)
    others = [
        copy.copy(model),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        load(dumpd(model), allowed_objects=[cls], valid_namespaces=["langchain_vllm"]),
    ]
    write(second)
    others.append(cls.from_config(write(second), watch=True))
    assert all(other._client() is model._client() for other in others)
    for each in (model, *others):
        await use(each, kind)
    assert [len(server.requests) for server in servers] == [0, len(others) + 1]


@every
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_what_the_file_says_of_selection_holds_unless_it_was_given(cls, kind, servers, write):
    path = write(*servers, key_selection={"strategy": "fill_first"})
    following, given = cls.from_config(path, watch=True), cls.from_config(path, watch=True, balance="sticky")
    for _ in range(4):
        await use(following, kind)
    assert [len(server.requests) for server in servers] == [4, 0]
    assert given._client()._fleet.balance == "sticky"


@every
def test_what_cannot_be_watched_is_refused(cls, servers, write):
    with pytest.raises(ConfigError, match="watch=True needs the path"):
        cls.from_config({"keys": [{"name": "a", "vllm_key_config": {"url": "http://a"}}]}, watch=True)
    with pytest.raises(ConfigError, match="either watch=True"):
        cls.from_config(write(servers[0]), watch=True, keys=[{"name": "a", "url": "http://a"}])
    with pytest.raises(ConfigError, match="not both"):
        cls.from_config(write(servers[0]), watch=True, base_url="http://a")._client()
    with pytest.raises(ConfigError, match=r"gone\.json"):
        cls.from_config(write(servers[0]).with_name("gone.json"), watch=True)


@every
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_without_watch_the_file_is_read_once(cls, kind, servers, write):
    first, second = servers
    model = cls.from_config(write(first))
    await use(model, kind)
    write(second)
    await use(model, kind)
    assert [len(server.requests) for server in servers] == [2, 0]


@pytest.mark.parametrize("make", [ChatVLLM, VLLMCompletion])
def test_what_tells_a_model_that_follows_a_file_from_others(make, servers, write):
    first, second = servers
    model = make.from_config(write(first), watch=True, model="sim-chat")
    assert model._identifying_params["base_url"] == first.url
    write(second)
    assert model._identifying_params["base_url"] == second.url
    assert (model.keys, model.base_url) == (None, None)
