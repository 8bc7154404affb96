"""Several servers behind one LLM, embedding or reranker: balance, and conversations that stay."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import ValidationError

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from llama_index.postprocessor.vllm_connect import VLLMRerank
from vllm_connect import ConfigError, Key
from vllm_connect._keys import watching
from vllm_connect.sim import SimServer

CLASSES = [VLLM, VLLMEmbedding, VLLMRerank]
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


def asked(servers: tuple[SimServer, SimServer]) -> list[list[Any]]:
    """The requests to generate something, by server."""
    return [[each for each in server.requests if each.method == "POST"] for server in servers]


def sessions(servers: tuple[SimServer, SimServer]) -> set[str | None]:
    return {each.headers.get("x-session-id") for requests in asked(servers) for each in requests}


async def use(ask: Any, component: Any) -> None:
    """Ask each class what it is for."""
    if isinstance(component, VLLM):
        await ask(component, "complete", "Say: hello")
    elif isinstance(component, VLLMRerank):
        await ask(component, "postprocess_nodes", [NodeWithScore(node=TextNode(text="a"))], query_str="b")
    elif ask.kind == "sync":
        component.get_query_embedding("hello")
    else:
        await component.aget_query_embedding("hello")


@every
async def test_a_dead_server_is_passed_over(ask, cls, servers, keys):
    servers[0].fail_always("503")
    component = cls(keys=keys, max_retries=0)
    for _ in range(6):
        await use(ask, component)
    bad, good = asked(servers)
    assert len(bad) <= 1
    assert len(good) == 6


@every
def test_an_unknown_balance_is_refused(cls, keys):
    with pytest.raises(ValidationError, match=r"balance\n.*'weighted'.*'least_busy'.*'sticky'"):
        cls(keys=keys, balance="round")


@every
def test_an_unknown_balance_that_is_assigned_is_refused_before_a_request(cls, keys):
    component = cls(keys=keys)
    changed = component.model_copy(update={"balance": "round"})
    with pytest.raises(ConfigError, match="balance is 'weighted'"):
        _ = changed.client


@every
def test_the_balance_is_saved(cls, keys):
    component = cls(keys=keys, balance="sticky")
    assert cls.from_dict(component.to_dict()).balance == "sticky"
    assert cls.from_json(component.to_json()).balance == "sticky"


@every
def test_another_balance_is_another_client(cls, keys):
    assert cls(keys=keys).client is cls(keys=keys).client
    assert cls(keys=keys).client is not cls(keys=keys, balance="least_busy").client


@pytest.mark.parametrize("mode", ["chat", "completion"])
async def test_a_session_stays_and_is_named(ask, mode, servers, keys):
    llm = VLLM(keys=keys, mode=mode, session_id="of the model")
    for number in range(6):
        await ask(llm, "complete", f"Say: {number}")
    assert sorted(map(len, asked(servers))) == [0, 6]
    assert sessions(servers) == {"of the model"}
    assert VLLM.from_dict(llm.to_dict()).session_id == "of the model"


async def test_a_session_of_one_call(ask, servers, keys):
    llm = VLLM(keys=keys, session_id="of the model")
    messages = [ChatMessage("Say: hello")]
    await ask(llm, "chat", messages, session_id="of a call")
    await ask(llm, "complete", "Say: hello", session_id="of a call")
    await ask.stream(llm, "stream_chat", messages, session_id="of a call")
    await ask.stream(llm, "stream_complete", "Say: hello", session_id="of a call")
    assert sorted(map(len, asked(servers))) == [0, 4]
    assert sessions(servers) == {"of a call"}


@pytest.mark.parametrize("session_id", [5, "", "two\nlines", "Grüße"])
async def test_a_session_that_no_header_can_carry_is_refused(ask, servers, keys, session_id):
    llm = VLLM(keys=keys)
    with pytest.raises(TypeError, match="session_id must be text"):
        await ask(llm, "complete", "Say: 1", session_id=session_id)
    with pytest.raises(TypeError, match="session_id must be text"):
        await ask.stream(llm, "stream_complete", "Say: 1", session_id=session_id)
    assert asked(servers) == [[], []]


async def test_sticky_knows_a_conversation_by_its_beginning(ask, servers, keys):
    llm = VLLM(keys=keys, balance="sticky")
    for number in range(4):
        messages = [ChatMessage(f"Say: {number}")]
        for _ in range(5):
            reply = await ask(llm, "chat", messages)
            messages += [reply.message, ChatMessage("Say: more")]
    # Other tests' conversations count, too, since LLMs of the same settings share a client.
    assert all(len(requests) % 5 == 0 for requests in asked(servers))


@every
async def test_several_servers_of_a_configuration(ask, cls, servers, tmp_path):
    path = tmp_path / "config.json"
    listed = [
        {"name": name, "value": "", "vllm_key_config": {"url": server.url}}
        for name, server in zip("ab", servers, strict=True)
    ]
    path.write_text(json.dumps({"providers": {"vllm": {"keys": listed}}}))
    component = cls.from_config(path, balance="least_busy")
    for _ in range(4):
        await use(ask, component)
    assert [server.key_name for server in component.client.servers()] == ["a", "b"]
    loaded = cls.from_dict(component.to_dict())
    assert loaded.balance == "least_busy"
    assert loaded.client is component.client


@every
async def test_what_a_configuration_says_of_choosing_and_waiting_is_obeyed(ask, cls, servers, caplog):
    config = {
        "keys": [
            {"name": name, "vllm_key_config": {"url": server.url}}
            for name, server in zip("ab", servers, strict=True)
        ],
        "network_config": {"retry_backoff_initial": "10ms", "retry_backoff_max": "20ms", "max_retries": 1},
        "key_selection": {"strategy": "round_robin"},
    }
    apart = {"X-Test": cls.__name__}  # what has the same settings shares what it knows of servers
    component = cls.from_config(config, default_headers=apart)
    for _ in range(6):
        await use(ask, component)
    assert sorted(map(len, asked(servers))) == [3, 3]
    for server in servers:
        server.fail_next("503", times=1)
    await use(ask, component)
    assert sorted(map(len, asked(servers))) in ([4, 5], [5, 5])
    assert "has no effect" not in caplog.text


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
async def test_the_next_request_goes_where_the_file_says(ask, cls, servers, write, caplog):
    first, second = servers
    path = write(first)
    component = cls.from_config(path, watch=True)
    clients = component.client, component.async_client
    await use(ask, component)
    write(second)
    await use(ask, component)
    assert [len(requests) for requests in asked(servers)] == [1, 1]
    path.write_text("{")
    with caplog.at_level(logging.WARNING, "vllm_connect"):
        await use(ask, component)
    assert "stays as it was" in caplog.text
    assert [len(requests) for requests in asked(servers)] == [1, 2]
    assert (component.client, component.async_client) == clients


@every
async def test_all_of_a_file_share_a_client_whatever_it_says(ask, cls, servers, write):
    first, second = servers
    component = cls.from_config(write(first), watch=True)
    others = [
        copy.copy(component),
        copy.deepcopy(component),
        pickle.loads(pickle.dumps(component)),
        cls.from_dict(component.to_dict()),
    ]
    write(second)
    others.append(cls.from_config(write(second), watch=True))
    assert all(other.client is component.client for other in others)
    for each in (component, *others):
        await use(ask, each)
    assert [request.path for request in asked(servers)[0] if request.path != "/tokenize"] == []
    assert len(asked(servers)[1]) == len(others) + 1


@every
async def test_what_the_file_says_of_selection_holds_unless_it_was_given(ask, cls, servers, write):
    path = write(*servers, key_selection={"strategy": "fill_first"})
    following, given = cls.from_config(path, watch=True), cls.from_config(path, watch=True, balance="sticky")
    for _ in range(4):
        await use(ask, following)
    assert [len(requests) for requests in asked(servers)] == [4, 0]
    assert given.client._fleet.balance == "sticky"


@every
def test_what_cannot_be_watched_is_refused(cls, servers, write):
    with pytest.raises(ConfigError, match="watch=True needs the path"):
        cls.from_config({"keys": [{"name": "a", "vllm_key_config": {"url": "http://a"}}]}, watch=True)
    with pytest.raises(ConfigError, match="either watch=True"):
        cls.from_config(write(servers[0]), watch=True, keys=[{"name": "a", "url": "http://a"}])
    with pytest.raises(ConfigError, match=r"gone\.json"):
        cls.from_config(write(servers[0]).with_name("gone.json"), watch=True)


@every
async def test_without_watch_the_file_is_read_once(ask, cls, servers, write):
    first, second = servers
    component = cls.from_config(write(first))
    await use(ask, component)
    write(second)
    await use(ask, component)
    assert [len(requests) for requests in asked(servers)] == [2, 0]
