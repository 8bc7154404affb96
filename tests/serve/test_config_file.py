"""The configuration file: read with complaints that help, written so that nothing is lost."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import Serve, keys_of

from vllm_connect import Policy
from vllm_connect.errors import ConfigError
from vllm_connect.serve.config.file import Changed, ConfigFile
from vllm_connect.serve.gateway import Gateway
from vllm_connect.sim import SimServer

KEY = {"name": "a", "value": "sk-1", "vllm_key_config": {"url": "http://gpu1:8000"}}
DOCUMENT: dict[str, Any] = {
    "$schema": "https://www.getbifrost.ai/schema",
    "client": {"drop_excess_requests": False},
    "providers": {"openai": {"keys": [{"value": "sk-2"}]}, "vllm": {"keys": [KEY]}},
}


def file_of(path: Path, document: Any) -> ConfigFile:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return ConfigFile(path)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "config.json: is not JSON: .* line 1, column 2"),
        ("3", "config.json: must be an object"),
        ({"providers": {"vllm": {"keys": {}}}}, r"config.json: providers.vllm.keys: must be a list"),
        ({"providers": {"vllm": {"keys": [{"name": "a", "vllm_key_config": {"url": "gpu1:8000"}}]}}},
         r"config.json: providers.vllm.keys\[0\].vllm_key_config.url: .*did you mean http://gpu1:8000"),
        ({"providers": {"vllm": {"keys": [{"name": "a", "weihgt": 1}]}}}, r"keys\[0\].weihgt: .*weight"),
        ({"providers": {"vllm": {"keys": [KEY, KEY]}}}, "two keys are named 'a'"),
        ({"something": 1}, "has neither 'providers' nor 'keys'"),
    ],
)  # fmt: skip
def test_a_broken_file_is_told_by_its_place(tmp_path: Path, document: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        file_of(tmp_path / "config.json", document)
    assert "sk-1" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.json: No such file"):
        ConfigFile(tmp_path / "nowhere.json")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = ConfigFile()
    assert file.current.provider is None
    file.write({"providers": {"vllm": {"keys": [KEY]}}}, file.current.etag)
    assert file.path == tmp_path / "vllm-connect" / "config.json"
    again = ConfigFile().current.provider
    assert again is not None
    assert again.keys[0].name == "a"


@pytest.mark.parametrize("document", [{}, {"providers": {}}, {"providers": {"openai": {}}}, {"keys": []}])
def test_a_file_without_keys_begins_with_none(tmp_path: Path, document: Any) -> None:
    assert file_of(tmp_path / "config.json", document).current.provider is None


def test_it_is_written_for_its_owner_alone_and_the_last_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    file = file_of(path, DOCUMENT)
    path.chmod(0o644)
    before = path.read_text()
    changed = json.loads(before)
    changed["providers"]["vllm"]["keys"][0]["weight"] = 2
    file.write(changed, file.current.etag)
    for each in (path, tmp_path / "config.json.bak"):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == changed
    assert (tmp_path / "config.json.bak").read_text() == before
    assert sorted(os.listdir(tmp_path)) == ["config.json", "config.json.bak"]


def test_what_cannot_be_used_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    file = file_of(path, DOCUMENT)
    before = path.read_text()
    with pytest.raises(ConfigError, match=r"config\.json: providers\.vllm\.keys"):
        file.write({"providers": {"vllm": {"keys": [KEY, KEY]}}}, file.current.etag)
    assert path.read_text() == before
    assert file.current.provider is not None


def test_an_edit_of_what_somebody_else_has_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    file = file_of(path, DOCUMENT)
    began_from = file.current.etag
    path.write_text(json.dumps({**DOCUMENT, "client": {}}))
    with pytest.raises(Changed):
        file.write(DOCUMENT, began_from)
    assert json.loads(path.read_text())["client"] == {}
    file.write(DOCUMENT, file.current.etag)


def test_a_link_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "config.json"
    real.write_text(json.dumps(DOCUMENT))
    link.symlink_to(real)
    file = ConfigFile(link)
    file.write({**DOCUMENT, "client": {}}, file.current.etag)
    assert link.is_symlink()
    assert json.loads(real.read_text())["client"] == {}


def test_what_else_is_configured_is_obeyed(serve: Serve, sim: SimServer) -> None:
    document = keys_of([sim])
    document["providers"]["vllm"] |= {
        "key_selection": {"strategy": "least_used"},
        "network_config": {
            "max_retries": 0,
            "extra_headers": {"X-Team": "a"},
            "stream_idle_timeout_in_seconds": 5,
        },
    }
    gateway = serve(config=document)
    body = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
    assert gateway.post("/v1/chat/completions", body).status_code == 200
    assert sim.requests[-1].headers["x-team"] == "a"
    sim.fail_next("503")
    assert gateway.post("/v1/chat/completions", body).status_code == 503
    chosen = serve(config=document, balance="sticky")
    assert chosen.post("/v1/chat/completions", body).status_code == 200


def test_changes_by_others_act_and_broken_ones_do_not(serve: Serve) -> None:
    with SimServer(models="a") as one, SimServer(models="b") as two:
        gateway = serve(one)
        path = gateway.file.path

        def served(model: str, document: Any) -> bool:
            path.write_text(document if isinstance(document, str) else json.dumps(document))
            deadline = time.monotonic() + 10
            body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
            while time.monotonic() < deadline:
                if gateway.post("/v1/chat/completions", body).status_code == 200:
                    return not gateway.gateway.problem
                time.sleep(0.1)
            return False

        keys = {"keys": [{"name": "two", "vllm_key_config": {"url": two.url}}]}
        assert served("b", keys)
        path.write_text("{")
        deadline = time.monotonic() + 10
        while not gateway.gateway.problem and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "is not JSON" in gateway.gateway.problem
        body = {"model": "b", "messages": [{"role": "user", "content": "hi"}]}
        assert gateway.post("/v1/chat/completions", body).status_code == 200
        assert served("a", {"keys": [{"name": "one", "vllm_key_config": {"url": one.url}}]})


def test_a_file_that_is_as_before_again_is_no_problem_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "config.json"
    file = file_of(path, DOCUMENT)
    good, before = path.read_text(), file.current
    for broken in ("{", None):
        path.unlink() if broken is None else path.write_text(broken)
        caplog.clear()
        for _ in range(3):
            assert not file.reload()
        assert str(path) in file.problem
        assert len(caplog.records) == 1, "told of once"
        assert file.current is before
        path.write_text(good)
        assert not file.reload()
        assert not file.problem


def test_a_change_within_the_clock_of_the_file_system_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    file = file_of(path, DOCUMENT)
    before, text = path.stat(), path.read_text()
    path.write_text(text.replace("gpu1", "gpu2"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.reload()
    assert file.current.provider is not None
    assert "gpu2" in str(file.current.document)


def test_a_file_that_does_not_exist_yet_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = ConfigFile()
    assert not file.reload()
    assert not file.problem
    file.path.parent.mkdir()
    file.path.write_text(json.dumps(DOCUMENT))
    assert file.reload()
    assert file.current.provider is not None


async def test_what_somebody_else_has_written_acts_when_an_edit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    file = file_of(path, DOCUMENT)
    gateway = Gateway(file, watch=False)
    began_from = file.current.etag
    path.write_text(json.dumps({"keys": [{**KEY, "name": "b"}]}))
    with pytest.raises(Changed):
        gateway.change(DOCUMENT, began_from)
    assert [key.name for key in gateway.client.keys] == ["b"]
    await gateway.close()


@pytest.mark.parametrize(("option", "balance"), [(None, "round_robin"), ("sticky", "sticky")])
async def test_its_selection_of_keys_and_its_waiting_are_obeyed(
    tmp_path: Path, option: Any, balance: str
) -> None:
    provider = {
        "keys": [KEY],
        "key_selection": {"strategy": "round_robin"},
        "network_config": {"retry_backoff_initial": "2s", "stream_idle_timeout_in_seconds": 30},
    }
    file = file_of(tmp_path / "config.json", {"providers": {"vllm": provider}})
    gateway = Gateway(file, balance=option, watch=False)
    fleet = gateway.client._fleet
    assert fleet.balance == balance
    assert fleet.policy == Policy(retry_backoff_initial=2, stream_idle_timeout=30)
    await gateway.close()


UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"network_config": {"ca_cert_pem": "env.NOT_SET_ANYWHERE"}}, "NOT_SET_ANYWHERE"),
    ({"network_config": {"ca_cert_pem": "-----BEGIN CERTIFICATE-----\nno\n"}}, "network_config.ca_cert_pem"),
    ({"proxy_config": {"type": "http", "url": "env.NOT_SET_ANYWHERE"}}, "NOT_SET_ANYWHERE"),
    ({"proxy_config": {"type": "http", "url": "gopher://proxy:1"}}, "proxy_config.url"),
    ({"proxy_config": {"type": "http", "url": "http://[:::1]:1"}}, "proxy_config.url"),
    ({"proxy_config": {"type": "http", "url": "http://proxy:99999"}}, "proxy_config.url"),
    ({"proxy_config": {"type": "http", "url": "http://proxy:1", "ca_cert_pem": "no"}},
     "proxy_config.ca_cert_pem"),
    ({"network_config": {"extra_headers": {"X Bad": "a"}}}, "extra_headers"),
    ({"network_config": {"extra_headers": {"": "a"}}}, "extra_headers"),
    ({"network_config": {"extra_headers": {"X-Bad": "a\nb"}}}, "extra_headers"),
    ({"network_config": {"max_conns_per_host": -1}}, "max_conns_per_host"),
    ({"keys": [KEY, KEY]}, "two keys are named 'a'"),
    ({"keys": [{**KEY, "weight": -1}]}, "weight"),
    ({"keys": [{**KEY, "weight": "heavy"}]}, "weight"),
    ({"keys": [{**KEY, "weight": True}]}, "weight"),
    ({"keys": [{**KEY, "name": 3}]}, "name"),
    ({"keys": [{**KEY, "value": "a\nb"}]}, "value"),
    ({"keys": [{**KEY, "models": "all"}]}, "models"),
    ({"keys": [{**KEY, "models": [3]}]}, "models"),
    ({"keys": [{**KEY, "vllm_key_config": {"url": "http://"}}]}, "url"),
    ({"keys": [{**KEY, "vllm_key_config": {"url": "http://a b"}}]}, "url"),
    ({"keys": [{**KEY, "vllm_key_config": {"url": "http://[:::1]:1"}}]}, "url"),
    ({"keys": [{**KEY, "vllm_key_config": {"url": "http://a:99999"}}]}, "url"),
    ({"keys": [{**KEY, "vllm_key_config": {"url": "ftp://a"}}]}, "url"),
    ({"keys": [{**KEY, "vllm_key_config": 3}]}, "vllm_key_config"),
    ({"keys": [3]}, "keys"),
]  # fmt: skip


def document_with(changed: dict[str, Any]) -> dict[str, Any]:
    return {**DOCUMENT, "providers": {"vllm": {"keys": [KEY], **changed}}}


@pytest.mark.parametrize(("changed", "said"), UNUSABLE)
async def test_a_broken_edit_is_refused_and_loses_nothing(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    path = tmp_path / "config.json"
    file = file_of(path, DOCUMENT)
    gateway = Gateway(file, watch=False)
    client, etag, text = gateway.client, file.current.etag, path.read_text()
    with pytest.raises(ConfigError) as caught:
        gateway.change(document_with(changed), etag)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_text() == text
    assert sorted(os.listdir(tmp_path)) == ["config.json"]
    assert (gateway.client, file.current.etag, gateway.problem) == (client, etag, "")
    gateway.change({**DOCUMENT, "client": {}}, etag)  # it goes on
    await gateway.close()


@pytest.mark.parametrize(("changed", "said"), UNUSABLE)
async def test_what_somebody_else_has_broken_leaves_the_last_good_one_in_use(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    path = tmp_path / "config.json"
    file = file_of(path, DOCUMENT)
    gateway = Gateway(file, watch=False)
    client, etag = gateway.client, file.current.etag
    path.write_text(json.dumps(document_with(changed)))
    assert not gateway.refresh()
    assert said in gateway.problem
    assert gateway.client is client
    with pytest.raises((Changed, ConfigError)):
        gateway.change(DOCUMENT, etag)
    assert gateway.client is client
    assert said in gateway.problem
    path.write_text(json.dumps({**DOCUMENT, "client": {}}))
    gateway.refresh()
    assert (gateway.client, gateway.problem) == (client, "")
    await gateway.close()


@pytest.mark.parametrize(("changed", "said"), UNUSABLE)
def test_a_gateway_does_not_start_with_what_cannot_be_used(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document_with(changed)))
    with pytest.raises(ConfigError) as caught:
        Gateway(ConfigFile(path), watch=False)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
