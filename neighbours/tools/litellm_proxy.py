"""LiteLLM's proxy before a server, and the client before the proxy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from neighbours.scenario import GET_WEATHER, HELLO, MODEL, WEATHER, Subject, error_of, scenario

BEHIND_ANOTHER = True  # what reaches the server, the proxy has sent

PROXIES: list[str] = []


def proxy(subject: Subject) -> str:
    """Start it, the first time; return its URL."""
    if not PROXIES:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        model = {"model": f"hosted_vllm/{MODEL}", "api_base": f"{subject.url}/v1", "api_key": "none"}
        config = {
            "model_list": [{"model_name": MODEL, "litellm_params": model}],
            "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
        }
        Path("proxy.yaml").write_text(json.dumps(config))
        command = [str(Path(sys.executable).parent / "litellm"), "--config", "proxy.yaml"]
        log = Path("proxy.log").open("w")  # noqa: SIM115
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log, env={**os.environ}
        )
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/health/liveliness", timeout=5)
                break
            except OSError as error:
                if process.poll() is not None:
                    raise RuntimeError(Path("proxy.log").read_text()[-2000:]) from error
                time.sleep(0.2)
        PROXIES.append(url)
        PROCESSES.append(process)
    return PROXIES[0]


PROCESSES: list[Any] = []


def through(subject: Subject) -> Subject:
    return Subject(subject.kind, proxy(subject), subject.sim)


def close() -> None:
    for process in PROCESSES:
        process.kill()


def ask(subject: Subject, **arguments: Any) -> Any:
    client = through(subject).client(max_retries=0)
    return client.chat.completions.create(**{"model": MODEL, "messages": HELLO, **arguments})


@scenario("chat")
def chat(subject: Subject) -> Any:
    reply = ask(subject)
    return reply.choices[0].message.content, reply.usage.total_tokens


@scenario("stream")
def stream(subject: Subject) -> Any:
    chunks = ask(subject, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@scenario("stream")
async def stream_async(subject: Subject) -> Any:
    client = through(subject).async_client()
    chunks = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)  # type: ignore[call-overload]
    return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])


@scenario("tools")
def tools(subject: Subject) -> Any:
    reply = ask(subject, messages=[{"role": "user", "content": WEATHER}], tools=[GET_WEATHER])
    return [[each.function.name, each.function.arguments] for each in reply.choices[0].message.tool_calls]


def vectors(subject: Subject, count: int) -> Any:
    client = through(subject).client(max_retries=0)
    data = client.embeddings.create(model=MODEL, input=["a"] * count).data
    return len(data), [round(number, 5) for number in data[-1].embedding[:3]]


@scenario("embeddings")
def embedding(subject: Subject) -> Any:
    return vectors(subject, 1)


@scenario("embeddings")
def embeddings(subject: Subject) -> Any:
    return vectors(subject, 40)


@scenario("embeddings")
def many_embeddings(subject: Subject) -> Any:
    return vectors(subject, 600)


@scenario("responses")
def responses(subject: Subject) -> Any:
    return through(subject).client().responses.create(model=MODEL, input="Say: hello there").output_text


@scenario("own")
def models(subject: Subject) -> Any:
    return [each.id for each in through(subject).client().models.list()]


@scenario("errors")
def error(subject: Subject) -> Any:
    proxy(subject)
    subject.sim.fail_always("400")
    return error_of(lambda: ask(subject))


@scenario("errors")
def unknown_model(subject: Subject) -> Any:
    return error_of(lambda: ask(subject, model="nobody"))
