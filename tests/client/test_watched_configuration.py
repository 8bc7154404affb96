"""A client that follows its configuration file: no restart, nothing lost, nothing left behind."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.both import each
from tests.client.requests import MESSAGES

from vllm_connect import VLLM, AsyncVLLM, ConfigError
from vllm_connect._keys import watching
from vllm_connect.sim import SimServer

CHAT = "chat.completions.create"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "INTERVAL", 0.0)


@pytest.fixture(scope="module")
def _servers() -> Iterator[tuple[SimServer, SimServer]]:
    with SimServer() as first, SimServer() as second:
        yield first, second


@pytest.fixture
def servers(_servers: tuple[SimServer, SimServer]) -> tuple[SimServer, SimServer]:
    for server in _servers:
        server.reset()
    return _servers


class File:
    """A configuration file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *servers: SimServer, **provider: object) -> None:
        keys = [
            {"name": str(number), "vllm_key_config": {"url": server.url}}
            for number, server in enumerate(servers)
        ]
        self.path.write_text(json.dumps({"providers": {"vllm": {"keys": keys, **provider}}}))


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "config.json")


async def test_the_next_request_goes_where_the_file_says(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], file: File
) -> None:
    first, second = servers
    file.write(first)
    client = make_client(from_config=str(file.path), watch=True)
    copy = client.client.with_options(max_retries=0)
    await client(CHAT, messages=MESSAGES)
    file.write(second)
    await client(CHAT, messages=MESSAGES)
    await client.stream(CHAT, messages=MESSAGES)
    assert (len(first.requests), len(second.requests)) == (1, 2)
    assert [key.url for key in copy.keys] == [second.url]
    file.write(first, second)
    page = await client("models.list")
    assert [status.key_name for status in page.key_statuses] == ["0", "1"]
    file.write(second)
    assert [status.url for status in client.client.servers()] == [second.url]


async def test_a_broken_file_keeps_the_old_keys_and_says_so_once(
    make_client: Callable[..., Any],
    servers: tuple[SimServer, SimServer],
    file: File,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = servers
    file.write(first)
    client = make_client(from_config=file.path, watch=True)
    file.path.write_text('{"providers": {"vllm": {"keys": [')
    with caplog.at_level(logging.WARNING, "vllm_connect"):
        for _ in range(4):
            await client(CHAT, messages=MESSAGES)
    (record,) = caplog.records
    assert "stays as it was" in record.getMessage()
    assert len(first.requests) == 4
    file.write(second)
    await client(CHAT, messages=MESSAGES)
    assert len(second.requests) == 1


async def test_a_stream_goes_on_when_its_key_is_removed(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], file: File
) -> None:
    first, second = servers
    file.write(first)
    client = make_client(from_config=file.path, watch=True)
    first.fail_next("pace", seconds=0.05)
    stream = await client(CHAT, messages=MESSAGES, stream=True)
    chunks = each(stream)
    seen = [await anext(chunks)]
    file.write(second)
    await client(CHAT, messages=MESSAGES)
    assert [key.url for key in client.client.keys] == [second.url]
    seen += [chunk async for chunk in chunks]
    assert any(choice.finish_reason for chunk in seen for choice in chunk.choices)
    assert (len(first.requests), len(second.requests)) == (1, 1)
    assert [status.in_flight for status in client.client.servers()] == [0]


async def test_selection_and_waiting_follow_unless_they_were_given(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], file: File
) -> None:
    file.write(*servers)
    following = make_client(from_config=file.path, watch=True)
    given = make_client(from_config=file.path, watch=True, balance="sticky")
    file.write(*servers, key_selection={"strategy": "fill_first", "cooldown_seconds": 9})
    for client in (following, given):
        await client(CHAT, messages=MESSAGES)
    assert (following.client._fleet.balance, following.client._fleet.policy.cooldown) == ("fill_first", 9)
    assert given.client._fleet.balance == "sticky"


async def test_a_copy_of_another_balance_follows_too(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], file: File
) -> None:
    first, second = servers
    file.write(first)
    client = make_client(from_config=file.path, watch=True)
    copy = client.client.with_options(balance="sticky")
    apart = client.client.with_options(keys=client.client.keys)
    file.write(second, key_selection={"strategy": "fill_first"})
    await client(CHAT, messages=MESSAGES)
    assert [key.url for key in copy.keys] == [second.url]
    assert (client.client._fleet.balance, copy._fleet.balance) == ("fill_first", "sticky")
    assert [key.url for key in apart.keys] == [first.url]


async def test_there_is_no_thread_to_close(
    make_client: Callable[..., Any], servers: tuple[SimServer, SimServer], file: File
) -> None:
    file.write(servers[0])
    before = threading.active_count()
    make_client(from_config=file.path, watch=True)
    assert threading.active_count() == before


@pytest.mark.parametrize("cls", [VLLM, AsyncVLLM])
def test_what_cannot_be_watched_is_refused(
    cls: Any, servers: tuple[SimServer, SimServer], file: File
) -> None:
    with pytest.raises(ConfigError, match="watch=True needs the path"):
        cls.from_config({"keys": [{"name": "a", "vllm_key_config": {"url": "http://a"}}]}, watch=True)
    file.write(servers[0])
    with pytest.raises(ConfigError, match="either watch=True"):
        cls.from_config(file.path, watch=True, keys=[])
    with pytest.raises(ConfigError, match=r"gone\.json"):
        cls.from_config(file.path.with_name("gone.json"), watch=True)
