"""`vllm-connect batch`: files of requests, and going on after a run was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from vllm_connect.cli.app import app
from vllm_connect.sim import SimServer


def request(number: int, url: str = "/v1/chat/completions", **body: Any) -> dict[str, Any]:
    body = body or {"messages": [{"role": "user", "content": f"Say: {number}"}], "temperature": 0}
    return {"custom_id": f"row-{number}", "method": "POST", "url": url, "body": body}


def write(path: Path, entries: list[Any]) -> Path:
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in entries))
    return path


def answers(path: Path) -> dict[str, dict[str, Any]]:
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({entry["id"] for entry in entries}) == len(entries)
    return {entry["custom_id"]: entry for entry in entries}


def batch(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["batch", *map(str, arguments)])


def content(entry: dict[str, Any]) -> str:
    text: str = entry["response"]["body"]["choices"][0]["message"]["content"]
    return text


def test_every_operation(vllm_sim: SimServer, tmp_path: Path) -> None:
    entries = [
        request(0),
        request(1, "/v1/completions", prompt="Say: x", max_tokens=3),
        request(2, "/v1/embeddings", input=["a", "b"]),
        request(3, "/v1/rerank", query="a", documents=["b", "c"], top_n=1),
        request(4, "/score", text_1="a", text_2=["b", "c"]),
        request(5, "/classify", input=["a"]),
        request(6, min_p=0.1, model="sim-chat", messages=[{"role": "user", "content": "Say: y"}]),
    ]
    out = tmp_path / "out.jsonl"
    result = batch(write(tmp_path / "in.jsonl", entries), out, "--url", vllm_sim.url, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["answered"] == 7
    done = answers(out)
    assert content(done["row-0"]) == "0"
    assert len(done["row-2"]["response"]["body"]["data"][0]["embedding"]) == 384
    assert len(done["row-3"]["response"]["body"]["results"]) == 1
    assert len(done["row-4"]["response"]["body"]["data"]) == 2
    assert done["row-5"]["response"]["body"]["data"][0]["label"]
    assert {entry["response"]["status_code"] for entry in done.values()} == {200}
    assert [each.json["min_p"] for each in vllm_sim.requests if "min_p" in each.json] == [0.1]


def test_what_is_wrong_is_an_error_of_its_line(vllm_sim: SimServer, tmp_path: Path) -> None:
    entries = [
        request(0),
        "no JSON",
        request(2, "/v1/images/generations", prompt="a cat"),
        request(3, messages=5),
        request(4, stream=True, messages=[]),
        {"custom_id": "row-5", "url": "/v1/chat/completions"},
        "",
        request(7, model="no-such-model", messages=[{"role": "user", "content": "Hi"}]),
    ]
    out = tmp_path / "out.jsonl"
    result = batch(write(tmp_path / "in.jsonl", entries), out, "--url", vllm_sim.url)
    assert result.exit_code == 1
    assert "1 answered, 6 failed" in result.stdout
    done = [json.loads(line) for line in out.read_text().splitlines()]
    by_id = {entry["id"].removeprefix("batch_req_"): entry for entry in done}
    assert "line 2 is no JSON" in by_id["1"]["error"]["message"]
    assert "'/v1/images/generations'" in by_id["2"]["error"]["message"]
    assert by_id["3"]["response"]["status_code"] == 400
    assert "a batch has no streams" in by_id["4"]["error"]["message"]
    assert "line 6 has no body" in by_id["5"]["error"]["message"]
    assert by_id["5"]["custom_id"] == "row-5"
    assert by_id["7"]["response"]["status_code"] == 404
    assert "no-such-model" in by_id["7"]["response"]["body"]["error"]["message"]


def test_an_error_in_a_success_is_an_error(vllm_sim: SimServer, tmp_path: Path) -> None:
    vllm_sim.fail_always("error_200", code=400)
    out = tmp_path / "out.jsonl"
    assert batch(write(tmp_path / "in.jsonl", [request(0)]), out, "--url", vllm_sim.url).exit_code == 1
    assert answers(out)["row-0"]["response"]["status_code"] == 400


def started(given: Path, out: Path, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vllm_connect", "batch", str(given), str(out), "--url", url]
    return subprocess.Popen([*command, "--concurrency", "8"], stderr=subprocess.PIPE, text=True)


def wait_for_lines(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not out.exists() or out.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signal to a process")
def test_a_run_that_is_interrupted_says_how_to_go_on(tmp_path: Path) -> None:
    given = write(tmp_path / "in.jsonl", [request(number) for number in range(300)])
    out = tmp_path / "out.jsonl"
    with SimServer(delay=0.01) as server:
        process = started(given, out, server.url)
        wait_for_lines(out, 5, process)
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "--resume goes on with" in shown
        assert "Traceback" not in shown


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    count = 300
    given = write(tmp_path / "in.jsonl", [request(number) for number in range(count)])
    straight, killed = tmp_path / "straight.jsonl", tmp_path / "killed.jsonl"
    with SimServer(delay=0.002) as server:
        assert batch(given, straight, "--url", server.url).exit_code == 0
        server.reset()
        command = [
            sys.executable,
            "-m",
            "vllm_connect",
            "batch",
            str(given),
            str(killed),
            "--url",
            server.url,
        ]
        process = subprocess.Popen([*command, "--concurrency", "8"])
        deadline = time.monotonic() + 60
        while not killed.exists() or killed.read_bytes().count(b"\n") < count // 3:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        done = killed.read_bytes().count(b"\n")
        assert done < count
        with killed.open("ab") as output:
            output.write(b'{"id": "batch_req_299", "cus')  # the line that it was writing
        first = len(server.requests)
        result = batch(given, killed, "--url", server.url, "--resume", "--json")
        assert result.exit_code == 0
        summary = json.loads(result.stdout)
        assert (summary["skipped"], summary["answered"]) == (done, count - done)
        assert first <= done + 8  # nothing was sent twice but what was on its way
        assert len(server.requests) - first == count - done
    one, other = answers(straight), answers(killed)
    assert one.keys() == other.keys()
    assert {key: content(entry) for key, entry in one.items()} == {
        key: content(entry) for key, entry in other.items()
    }


def test_an_output_is_not_written_over(vllm_sim: SimServer, tmp_path: Path) -> None:
    given, out = write(tmp_path / "in.jsonl", [request(0), request(1)]), tmp_path / "out.jsonl"
    assert batch(given, out, "--url", vllm_sim.url).exit_code == 0
    before = out.read_bytes()
    refused = batch(given, out, "--url", vllm_sim.url)
    assert (refused.exit_code, out.read_bytes()) == (2, before)
    assert "exists: go on with --resume" in refused.output
    vllm_sim.reset()
    assert (
        "0 answered, 0 failed, 2 done before" in batch(given, out, "--url", vllm_sim.url, "--resume").stdout
    )
    assert vllm_sim.requests == []
    other = write(tmp_path / "other.jsonl", [request(7), request(8)])
    refused = batch(other, out, "--url", vllm_sim.url, "--resume")
    assert (refused.exit_code, out.read_bytes()) == (2, before)
    assert "the output is of another input: its line 1 is not 'row-7'" in refused.output
    out.write_text("something else\n")
    refused = batch(given, out, "--url", vllm_sim.url, "--resume")
    assert "line 1 of the output is not of a batch" in refused.output


def test_several_servers_and_configurations(tmp_path: Path) -> None:
    given = write(tmp_path / "in.jsonl", [request(number) for number in range(40)])
    with SimServer() as one, SimServer() as two:
        urls = ["--url", one.url, "--url", two.url]
        assert batch(given, tmp_path / "a.jsonl", *urls).exit_code == 0
        assert min(len(one.requests), len(two.requests)) >= 10
        keys = [{"name": "a", "vllm_key_config": {"url": one.url}}]
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"providers": {"vllm": {"keys": keys}}}))
        assert batch(given, tmp_path / "b.jsonl", "--config", config).exit_code == 0
        assert batch(given, tmp_path / "c.jsonl", "--config", config, *urls).exit_code == 2


def test_urls_of_files(vllm_sim: SimServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far").mkdir()
    given = write(tmp_path / "far" / "in.jsonl", [request(0)])
    result = batch(f"file://{given}", f"file://{tmp_path}/far/out.jsonl", "--url", vllm_sim.url)
    assert result.exit_code == 0, result.output
    assert content(answers(tmp_path / "far" / "out.jsonl")["row-0"]) == "0"
    assert (tmp_path / "out.jsonl").exists()  # the journal


def test_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_BASE_URL", raising=False)
    given = write(tmp_path / "in.jsonl", [request(0)])
    assert batch(given, tmp_path / "out.jsonl").exit_code == 2  # there is no server
    missing = batch(tmp_path / "none.jsonl", tmp_path / "out.jsonl", "--url", "http://127.0.0.1:9")
    assert missing.exit_code == 2
    assert "none.jsonl: No such file or directory" in missing.output
