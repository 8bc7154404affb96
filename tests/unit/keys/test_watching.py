"""A watched configuration file: looked at when it is used, told of once when it is broken."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vllm_connect import ConfigError
from vllm_connect._keys import watching
from vllm_connect._keys.watching import WatchedFile


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def content(*names: str, **provider: object) -> str:
    keys = [{"name": name, "vllm_key_config": {"url": f"http://{name}"}} for name in names]
    return json.dumps({"providers": {"vllm": {"keys": keys, **provider}}})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(content("a"))
    return path


def names(watched: WatchedFile) -> list[str] | None:
    config = watched.changed()
    return None if config is None else [key.name for key in config.keys]


def write(path: Path, text: str, age: float = 0.0) -> None:
    path.write_text(text)
    seconds = path.stat().st_mtime - age
    os.utime(path, (seconds, seconds))


@pytest.mark.parametrize("age", [0.0, 60.0])
def test_a_change_shows_after_a_second(path: Path, clock: Clock, age: float) -> None:
    watched = WatchedFile(path, clock=clock)
    write(path, content("b"), age)
    assert watched.changed() is None
    clock.now += 1.1
    assert names(watched) == ["b"]
    clock.now += 1.1
    assert watched.changed() is None


def test_a_file_of_the_same_size_and_time_is_another_one(path: Path, clock: Clock) -> None:
    """Written twice within the resolution of the file system's clock."""
    watched = WatchedFile(path, clock=clock)
    before = path.stat()
    path.write_text(content("b"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    clock.now += 1.1
    assert names(watched) == ["b"]


def test_a_file_that_is_replaced(path: Path, clock: Clock) -> None:
    watched = WatchedFile(path, clock=clock)
    other = path.with_suffix(".new")
    other.write_text(content("a", "b"))
    other.replace(path)
    clock.now += 1.1
    assert names(watched) == ["a", "b"]


def test_an_unchanged_file_is_not_read(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, content("a"), age=60)
    watched = WatchedFile(path, clock=clock)
    monkeypatch.setattr(watching, "load_keys", pytest.fail)
    for _ in range(5):
        clock.now += 1.1
        assert watched.changed() is None


def broken(path: Path) -> None:
    path.write_text('{"providers": ')


def without_keys(path: Path) -> None:
    path.write_text(content())


def of_the_same_name(path: Path) -> None:
    path.write_text(content("a", "a"))


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("breaks", [broken, without_keys, of_the_same_name, gone])
def test_a_broken_file_changes_nothing_and_is_told_of_once(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, breaks: Callable[[Path], None]
) -> None:
    watched = WatchedFile(path, clock=clock)
    breaks(path)
    with caplog.at_level(logging.WARNING, "vllm_connect"):
        for _ in range(5):
            clock.now += 1.1
            assert watched.changed() is None
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert [key.name for key in watched.config.keys] == ["a"]
    path.write_text(content("b"))
    clock.now += 1.1
    assert names(watched) == ["b"]
    breaks(path)
    clock.now += 1.1
    with caplog.at_level(logging.WARNING, "vllm_connect"):
        assert watched.changed() is None
    assert len(caplog.records) == 2  # broken anew


def test_what_takes_a_new_client_is_said(path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    watched = WatchedFile(path, clock=clock)
    path.write_text(content("a", network_config={"max_conns_per_host": 3}))
    clock.now += 1.1
    with caplog.at_level(logging.WARNING, "vllm_connect"):
        assert names(watched) == ["a"]
    assert "takes a new client" in caplog.text


def test_a_selection_changes_without(path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    watched = WatchedFile(path, clock=clock)
    path.write_text(content("a", key_selection={"strategy": "round_robin", "cooldown_seconds": 5}))
    clock.now += 1.1
    with caplog.at_level(logging.WARNING, "vllm_connect"):
        config = watched.changed()
    assert config is not None
    assert config.balance == "round_robin"
    assert caplog.text == ""


def test_of_many_threads_one_looks(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = WatchedFile(path, clock=clock)
    path.write_text(content("b"))
    loads: list[object] = []
    inside, leave = threading.Event(), threading.Event()
    load = watching.load_keys

    def slow(config: Any) -> Any:
        loads.append(config)
        inside.set()
        assert leave.wait(5)
        return load(config)

    monkeypatch.setattr(watching, "load_keys", slow)
    clock.now += 1.1
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(watched.changed()))
    thread.start()
    assert inside.wait(5)
    assert watched.changed() is None  # which waits for nobody
    leave.set()
    thread.join()
    assert len(loads) == 1
    assert found[0] is not None


def test_a_file_that_cannot_be_used_at_first_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json"):
        WatchedFile(tmp_path / "config.json")
