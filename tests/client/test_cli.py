"""The command line: what `check` says of servers of every kind, its exit codes, and `sim`."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from vllm_connect import VLLM, NotFoundError, __version__, cli
from vllm_connect.cli.app import app
from vllm_connect.sim import SimServer

OPERATIONS = [
    "chat completions", "Responses API", "Responses, native", "text completions", "embeddings", "rerank",
    "score", "classify", "pooling", "tokenize", "detokenize", "list models", "transcriptions",
    "translations", "server: health", "server: version", "server: load", "server: metrics",
]  # fmt: skip
STREAMED = {*OPERATIONS[:4], "transcriptions", "translations"}
ALWAYS = {"tokenize", "detokenize", "list models", *OPERATIONS[-4:]}


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment that asks for colours or a width."""
    for name in ("FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env=environment)


def report(*arguments: str) -> dict[str, Any]:
    result = run("check", *arguments, "--json")
    read: dict[str, Any] = json.loads(result.stdout)
    assert read["exit_code"] == result.exit_code
    return read


def statuses(read: dict[str, Any], way: str = "plain") -> dict[str, str]:
    return {row["operation"]: row[way]["status"] for row in read["operations"] if row[way]}


def served(read: dict[str, Any]) -> set[str]:
    return {operation for operation, status in statuses(read).items() if status == "ok"}


@contextmanager
def server_of(answer: Callable[[str, Any], tuple[int, str, str]]) -> Iterator[str]:
    """A plain HTTP server; `answer` makes status, content type and body of the path and the JSON body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked = json.loads(body) if self.headers.get("content-type") == "application/json" else None
            status, kind, text = answer(self.path, asked)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# --- check: what a server serves -------------------------------------------------------------------------


def test_a_server_that_serves_everything(vllm_sim: SimServer) -> None:
    result = run("check", vllm_sim.url)
    assert result.exit_code == 0, result.output
    for operation in OPERATIONS:
        assert re.search(rf"^{re.escape(operation)} +✅", result.output, re.MULTILINE), operation
    assert result.output.count("✅") == len(OPERATIONS) + len(STREAMED)
    for told in (vllm_sim.url, "version  sim", "sim-chat (max_model_len 32768)", " ms (GET /v1/models)"):
        assert told in result.output
    assert "18 operations served, all of them work." in result.output


def test_json_is_complete(vllm_sim: SimServer) -> None:
    read = report(vllm_sim.url)
    assert read["ok"] is True
    assert read["exit_code"] == 0
    assert read["url"] == vllm_sim.url
    assert read["version"] == "sim"
    assert read["latency_ms"] > 0
    assert read["models"] == [{"id": "sim-chat", "max_model_len": 32768, "parent": None}]
    assert read["problem"] is None
    assert [row["operation"] for row in read["operations"]] == OPERATIONS
    assert {row["operation"] for row in read["operations"] if row["stream"]} == STREAMED
    for row in read["operations"]:
        assert row["plain"]["status"] == "ok"
        assert row["plain"]["ms"] > 0
        assert row["plain"]["path"] == row["endpoint"]
        if row["stream"]:
            assert row["stream"]["status"] == "ok"
            assert 0 < row["stream"]["first_ms"] <= row["stream"]["ms"]
            assert row["stream"]["chunks"] >= 1


@pytest.mark.parametrize(
    ("task", "own"),
    [
        ("generate", set(OPERATIONS[:4])),
        ("embed", {"embeddings", "rerank", "score", "pooling"}),
        ("rerank", {"rerank", "score", "classify", "pooling"}),
        ("classify", {"classify", "pooling"}),
        ("transcription", {"transcriptions", "translations"}),
    ],
)
def test_a_server_of_one_kind(task: Any, own: set[str]) -> None:
    with SimServer(tasks=task) as sim:
        read = report(sim.url)
        result = run("check", sim.url)
    assert served(read) == own | ALWAYS
    assert set(statuses(read).values()) == {"ok", "absent"}
    assert set(statuses(read, "stream").values()) <= {"ok", "absent"}
    for operation in set(OPERATIONS) - own - ALWAYS:
        assert re.search(rf"^{re.escape(operation)} +–", result.output, re.MULTILINE), operation
    assert result.exit_code == 0


def test_it_is_cheap_for_the_server(vllm_sim: SimServer) -> None:
    run("check", vllm_sim.url)
    asked = [request.json for request in vllm_sim.requests if request.json]
    limits = [body.get("max_tokens") or body.get("max_output_tokens") for body in asked]
    assert max(filter(None, limits)) <= 16
    assert len(vllm_sim.requests) < 40


def test_one_name_of_a_model_and_no_adapter_stands_for_all() -> None:
    with SimServer(tasks="embed", models=["one", "two", "three"]) as sim:
        read = report(sim.url)
        asked = [request.path for request in sim.requests]
    assert len(read["models"]) == 3
    assert asked.count("/v1/chat/completions") == 2  # once for each of chat and the Responses API


def test_a_router_whose_models_differ() -> None:
    models = {"data": [{"id": "talks", "root": "a"}, {"id": "embeds", "root": "b"}]}

    def answer(path: str, asked: Any) -> tuple[int, str, str]:
        if path == "/v1/models":
            return 200, "application/json", json.dumps(models)
        if path == "/v1/embeddings" and asked["model"] == "embeds":
            data = [{"index": 0, "object": "embedding", "embedding": "AACAPw=="}]
            return 200, "application/json", json.dumps({"object": "list", "data": data, "model": "embeds"})
        if path == "/v1/completions" and asked["model"] == "talks" and not asked.get("stream"):
            choices = [{"index": 0, "text": " Paris", "finish_reason": "stop"}]
            whole = {"id": "1", "object": "text_completion", "created": 1, "model": "talks"}
            return 200, "application/json", json.dumps({**whole, "choices": choices})
        return 404, "application/json", '{"detail": "Not Found"}'

    with server_of(answer) as url:
        rows = {row["operation"]: row["plain"] for row in report(url)["operations"]}
        text = run("check", url).output
    assert (rows["embeddings"]["status"], rows["embeddings"]["model"]) == ("ok", "embeds")
    assert (rows["text completions"]["status"], rows["text completions"]["model"]) == ("ok", "talks")
    assert rows["rerank"]["status"] == "absent"
    assert "version  unknown" in text
    assert re.search("^embeddings.* embeds *$", text, re.MULTILINE)


def test_behind_vllm_router_it_names_the_route_that_answered() -> None:
    with SimServer(tasks="embed") as sim:
        for path in ("/v1/rerank", "/rerank", "/version", "/load"):
            sim.fail_always("vllm_router", path=path)
        read = report(sim.url)
    rows = {row["operation"]: row["plain"] for row in read["operations"]}
    assert rows["rerank"]["path"] == "/v2/rerank"
    assert rows["server: version"]["status"] == rows["server: load"]["status"] == "absent"
    assert read["version"] is None
    assert read["exit_code"] == 0


@pytest.mark.parametrize(
    ("fault", "values"),
    [
        ("404", {}),
        ("405", {}),
        ("501", {}),
        ("404", {"shape": "empty"}),
        ("error_200", {"code": 400, "message": "The model does not support Chat Completions API"}),
        (
            "400",
            {"message": "default chat template is no longer allowed, so you must provide a chat template"},
        ),
    ],
)
def test_ways_to_say_that_there_is_no_such_operation(
    vllm_sim: SimServer, fault: str, values: dict[str, Any]
) -> None:
    vllm_sim.fail_always(fault, path="/v1/chat/completions", **values)
    read = report(vllm_sim.url)
    assert statuses(read)["chat completions"] == "absent"
    assert statuses(read, "stream")["chat completions"] == "absent"
    assert read["exit_code"] == 0


# --- check: what fails -----------------------------------------------------------------------------------


def test_failures_are_told_and_counted(vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("500", path="/v1/embeddings", message="The engine is gone.")
    vllm_sim.fail_always("error_200", path="/score", code=400, message="The prompt is bad.")
    vllm_sim.fail_always("error_chunk", path="/v1/chat/completions", after=3, message="It broke.")
    result = run("check", vllm_sim.url)
    assert result.exit_code == 1
    assert re.search("^embeddings +❌ 500", result.output, re.MULTILINE)
    assert re.search("^chat completions +✅ [^✅❌]+❌ 500", result.output, re.MULTILINE)
    assert "embeddings: 500 The engine is gone." in result.output
    assert "score: 400 The prompt is bad. (sent as HTTP 200)" in result.output
    assert "chat completions (stream), Responses API (stream): 500 It broke." in result.output
    assert "4 of them failed" in result.output


@pytest.mark.parametrize("fault", ["cut", "done_only", "unfinished", "html", "empty", "drop", "503"])
def test_whatever_goes_wrong_is_a_failure(vllm_sim: SimServer, fault: str) -> None:
    vllm_sim.fail_always(fault, path="/v1/completions")
    read = report(vllm_sim.url)
    assert statuses(read, "stream")["text completions"] == "failed"
    assert statuses(read)["chat completions"] == "ok"
    assert read["exit_code"] == 1


def test_a_request_that_takes_too_long(vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("stall", path="/pooling", seconds=20)
    vllm_sim.fail_always("stall", path="/v1/completions", seconds=20)
    result = run("check", vllm_sim.url, "--timeout", "0.4")
    assert result.exit_code == 1
    assert re.search("^pooling +❌ timeout", result.output, re.MULTILINE)
    assert re.search("^text completions +❌ timeout +·", result.output, re.MULTILINE)  # not waited for again
    assert "text completions, pooling: no answer in time" in result.output


def test_an_engine_that_is_dead(vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("status", path="/health", code=503, shape="empty")
    result = run("check", vllm_sim.url)
    assert result.exit_code == 1
    assert "server: health: the server is up, its engine is not (503)" in result.output


def test_a_model_that_the_server_does_not_have(vllm_sim: SimServer) -> None:
    result = run("check", vllm_sim.url, "--model", "other")
    assert result.exit_code == 1
    assert "other, which the server does not list" in result.output
    assert result.output.count("The model `other` does not exist. Valid aliases: sim-chat.") == 1


def test_a_chosen_model() -> None:
    with SimServer(models=["one", "two"]) as sim:
        read = report(sim.url, "--model", "two")
    assert read["model"] == "two"
    assert {row["plain"]["model"] for row in read["operations"]} == {"two", None}
    assert read["exit_code"] == 0


# --- check: no server, or another one --------------------------------------------------------------------


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    result = run("check", url)
    assert result.exit_code == 3
    assert f"no server at {url}: " in result.output
    assert "refused" in result.output
    read = report(url)
    assert (read["ok"], read["operations"], read["problem"]["kind"]) == (False, [], "none")


def test_nobody_answers(vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("stall", path="*", seconds=20)
    result = run("check", vllm_sim.url, "--timeout", "0.3")
    assert result.exit_code == 3
    assert f"no server at {vllm_sim.url}: it does not answer" in result.output


@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_web_server(status: int) -> None:
    asked: list[str] = []

    def answer(path: str, _: Any) -> tuple[int, str, str]:
        asked.append(path)
        return status, "text/html", "<html><head><title>Welcome</title></head></html>"

    with server_of(answer) as url:
        result = run("check", url)
        assert report(url)["problem"]["kind"] == "foreign"
    assert result.exit_code == 3
    assert f"no vLLM server at {url}: GET /v1/models: " in result.output
    assert "HTML reply: Welcome" in result.output
    assert set(asked) == {"/v1/models", "/version"}  # it is left in peace then


@pytest.mark.parametrize(
    "models",
    ["{}", "[]", "null", "1", '{"data": null}', '{"data": ["a"]}', '{"data": [{}]}', '{"models": []}'],
)
def test_strange_lists_of_models(models: str) -> None:
    def answer(path: str, _: Any) -> tuple[int, str, str]:
        return (200, "application/json", models) if path == "/v1/models" else (404, "text/plain", "")

    with server_of(answer) as url:
        result = run("check", url)
    assert result.exit_code in (0, 1, 3)
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_server_that_is_starting(vllm_sim: SimServer) -> None:
    vllm_sim.fail_always("503", path="*")
    result = run("check", vllm_sim.url)
    assert result.exit_code == 3
    assert "503 The model is currently scaling." in result.output


# --- API keys --------------------------------------------------------------------------------------------

SECRET = "sk-sesame-4711"


def test_a_server_that_asks_for_an_api_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIM_KEY", SECRET)
    with SimServer(api_key=SECRET) as sim:
        without, wrong = run("check", sim.url), run("check", sim.url, "--api-key", "sk-wrong")
        right, named = (
            run("check", sim.url, "--api-key", SECRET),
            run("check", sim.url, "--api-key", "env.SIM_KEY"),
        )
        read = report(sim.url)
    assert (without.exit_code, wrong.exit_code) == (1, 1)
    assert "the server asks for an API key (401)" in without.output
    assert "the server refuses the API key (401)" in wrong.output
    assert (right.exit_code, named.exit_code) == (0, 0)
    assert "API key  ***" in right.output
    assert read["problem"]["kind"] == "locked"
    assert read["version"] == "sim"
    for result in (without, wrong, right, named):
        assert SECRET not in result.output
        assert "sk-wrong" not in result.output


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_server_that_repeats_the_key(vllm_sim: SimServer, options: list[str]) -> None:
    vllm_sim.fail_always("400", path="/v1/embeddings", message=f"Your key {SECRET} may not embed.")
    result = run("check", vllm_sim.url, "--api-key", SECRET, *options)
    assert result.exit_code == 1
    assert "Your key *** may not embed." in result.output
    assert SECRET not in result.output


def test_credentials_in_the_url(vllm_sim: SimServer) -> None:
    result = run("check", vllm_sim.url.replace("//", "//user:pass-4711@"))
    assert result.exit_code == 0
    assert "pass-4711" not in result.output
    assert vllm_sim.requests[0].headers["authorization"].startswith("Basic ")


def test_the_server_of_the_environment(vllm_sim: SimServer) -> None:
    result = run("check", VLLM_BASE_URL=vllm_sim.url, VLLM_API_KEY=SECRET)
    assert result.exit_code == 0
    assert vllm_sim.requests[0].headers["authorization"] == f"Bearer {SECRET}"


def test_the_environments_key_is_not_sent_elsewhere(vllm_sim: SimServer) -> None:
    run("check", vllm_sim.url, VLLM_API_KEY=SECRET)
    assert all("authorization" not in request.headers for request in vllm_sim.requests)


# --- usage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "localhost:8000"],
        ["check", "http://localhost:1", "--api-key", "env.NO_SUCH_VARIABLE"],
        ["check", "http://localhost:1", "--timeout", "soon"],
        ["check", "http://localhost:1", "--no-such-option"],
        ["demo", "--url", "ftp://localhost"],
        ["sim", "--task", "paint"],
        ["sim", "--fault", "no_such_fault"],
        ["sim", "--api-key", "env.NO_SUCH_VARIABLE"],
        ["no-such-command"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.output.strip()
    assert "Traceback" not in result.output


def test_version_and_help() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.output.startswith(f"vllm-connect {__version__} (openai ")
    for command in ("check", "demo", "sim"):
        assert command in run("--help").output
        assert run(command, "--help").exit_code == 0
    assert "Exit codes" in run("check", "--help").output


@pytest.mark.parametrize("module", ["typer", "rich", "starlette"])
def test_a_missing_extra(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr("vllm_connect.cli.app.app", lambda **_: absent())
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert exit.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"vllm-connect: {module} is not installed; run: pip install 'vllm-connect[cli]'\n"


def test_an_import_that_is_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(**_: Any) -> None:
        raise ModuleNotFoundError("No module named 'vllm_connect.moved'", name="vllm_connect.moved")

    monkeypatch.setattr("vllm_connect.cli.app.app", absent)
    with pytest.raises(ModuleNotFoundError):
        cli.main()


# --- how it looks ----------------------------------------------------------------------------------------


def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VLLM_", "PYTHONIO", "PYTHONUTF"))
    }
    return subprocess.run(
        [sys.executable, "-m", "vllm_connect", *arguments],
        env={**kept, **environment}, capture_output=True, timeout=120, check=False,
    )  # fmt: skip


def test_in_a_process_of_its_own(vllm_sim: SimServer) -> None:
    done = shell("check", vllm_sim.url, COLUMNS="80", PYTHONUTF8="1")
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert b"\x1b" not in done.stdout
    lines = done.stdout.decode().splitlines()
    assert max(len(line) + line.count("✅") for line in lines) <= 80
    assert sum(line.startswith(tuple(OPERATIONS)) for line in lines) == len(OPERATIONS)  # a line each


def test_a_console_that_knows_ascii_only() -> None:
    with SimServer(tasks="embed") as sim:
        done = shell("check", sim.url, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode("ascii").splitlines()
    assert any(re.match(r"embeddings +\| ok ", line) for line in lines)
    assert any(re.match(r"classify +\| - ", line) for line in lines)


# --- sim -------------------------------------------------------------------------------------------------


@contextmanager
def simulator(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "vllm_connect", "sim", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.search(r"http://\S+", line)
        assert match, line
        try:
            yield process, match[0]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sim_runs_until_it_is_ended(number: signal.Signals) -> None:
    options = ["--model", "llama", "--model", "llama-2", "--api-key", SECRET, "--task", "generate"]
    with simulator(*options) as (process, url):
        with VLLM(url, api_key=SECRET) as client:
            assert [model.id for model in client.models.list().data] == ["llama", "llama-2"]
        assert report(url, "--api-key", SECRET)["exit_code"] == 0
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert SECRET not in out + err
    assert "Traceback" not in err


def test_sim_of_a_version() -> None:
    with simulator("--vllm-version", "0.16.0") as (_, url), VLLM(url) as client:
        assert client.server.version() == "0.16.0"
        with pytest.raises(NotFoundError, match=r"needs vLLM >= 0\.17, the server is 0\.16\.0"):
            client.messages.count_tokens(model="sim-chat", messages=[{"role": "user", "content": "Hi"}])


def test_sim_with_a_fault() -> None:
    with simulator("--fault", "500; times=always; path=/v1/embeddings") as (_, url):
        read = report(url)
    assert statuses(read)["embeddings"] == "failed"


def test_sim_on_a_port_in_use(vllm_sim: SimServer) -> None:
    done = shell("sim", "--port", vllm_sim.url.rpartition(":")[2])
    assert done.returncode == 1
    assert b"cannot listen on 127.0.0.1:" in done.stderr
    assert b"Traceback" not in done.stderr


# --- check: several servers ------------------------------------------------------------------------------


def test_several_servers_are_one_table(vllm_sim: SimServer) -> None:
    with SimServer(tasks="embed", models=["vectors"]) as other:
        result = run("check", vllm_sim.url, other.url)
        read = json.loads(run("check", vllm_sim.url, other.url, "--json").stdout)
    assert result.exit_code == 0, result.output
    for url in (vllm_sim.url, other.url):
        assert result.output.count(url) == 1
    assert re.search(r"^embeddings +✅ [\d.]+ ms +✅ [\d.]+ ms", result.output, re.MULTILINE)
    assert re.search(r"^chat completions +✅ [\d.]+ ms +–", result.output, re.MULTILINE)
    assert re.search(r"^  streamed +✅ [\d.]+ ms +–", result.output, re.MULTILINE)
    assert re.search(r"^models +sim-chat +vectors", result.output, re.MULTILINE)
    names = [url.removeprefix("http://") for url in (vllm_sim.url, other.url)]
    assert [server["key_name"] for server in read["servers"]] == names
    assert [len(served(server)) for server in read["servers"]] == [len(OPERATIONS), 4 + len(ALWAYS)]
    assert (read["ok"], read["exit_code"]) == (True, 0)


def test_one_of_several_is_not_there(vllm_sim: SimServer) -> None:
    result = run("check", vllm_sim.url, "http://127.0.0.1:9")
    assert result.exit_code == 3
    assert "❌ 127.0.0.1:9: no server at http://127.0.0.1:9" in result.output
    assert re.search(r"^rerank +✅", result.output, re.MULTILINE)
    assert "18 operations served, all of them work." in result.output


def test_one_of_several_fails(vllm_sim: SimServer) -> None:
    with SimServer() as other:
        other.fail_always("400", path="/v1/embeddings")
        result = run("check", vllm_sim.url, other.url)
    assert result.exit_code == 1
    assert re.search(r"^embeddings +✅ [\d.]+ ms +❌ 400", result.output, re.MULTILINE)


def test_the_servers_of_a_configuration(vllm_sim: SimServer, tmp_path: Path) -> None:
    path = tmp_path / "config.json"

    def listed(name: str, url: str, **fields: Any) -> dict[str, Any]:
        return {"name": name, "vllm_key_config": {"url": url}, **fields}

    keys = [
        listed("one", vllm_sim.url, value="env.NO_KEY_NEEDED"),
        listed("two", "env.NOT_SET_AT_ALL"),
        listed("off", "http://127.0.0.1:9", enabled=False),
    ]
    path.write_text(json.dumps({"providers": {"vllm": {"keys": keys}}}))
    result = run("check", "--config", str(path), NO_KEY_NEEDED="secret")
    assert result.exit_code == 3
    assert re.search(r"^ +one +two$", result.output, re.MULTILINE)
    assert "two: no base URL configured: set vllm_key_config.url on key 'two'" in result.output
    assert "off" not in result.output
    assert "secret" not in result.output
    assert {request.headers["authorization"] for request in vllm_sim.requests} == {"Bearer secret"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--config", "nowhere.json"), "nowhere.json: No such file or directory"),
        (("--config", "a.json", "http://a"), "pass either --config or URLs"),
        (("http://a", "http://a/"), "a is named twice"),
        (("http://a", "ftp://b"), "ftp://b"),
    ],
)
def test_servers_that_cannot_be_asked(arguments: tuple[str, ...], message: str) -> None:
    result = run("check", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
