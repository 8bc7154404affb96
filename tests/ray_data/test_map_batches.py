"""`vllm_connect.ray.Map` in the actors of a local Ray: `make test-ray`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.data

from vllm_connect import AsyncVLLM, Key
from vllm_connect.ray import Map
from vllm_connect.sim import SimServer


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    yield
    ray.shutdown()


@pytest.fixture
def sim() -> Iterator[SimServer]:
    with SimServer() as server:
        yield server


def mapped(data: Any, *arguments: Any, format: str = "default", actors: int = 1, **options: Any) -> Any:
    """The rows, sorted by their number, and the types of their columns."""
    done = data.map_batches(
        Map,
        fn_constructor_args=arguments,
        fn_constructor_kwargs=options,
        batch_format=format,
        batch_size=16,
        concurrency=actors,
        num_cpus=0.5,
    ).materialize()
    schema = done.schema()  # pandas makes longer strings of strings
    types = {
        name: str(kind).removeprefix("large_") for name, kind in zip(schema.names, schema.types, strict=True)
    }
    return sorted(done.take_all(), key=lambda row: int(row["number"])), types


@pytest.mark.parametrize("format", ["default", "pandas", "pyarrow"])
def test_every_format_of_batches(sim: SimServer, format: str) -> None:
    prompts = [{"number": number, "prompt": f"Say: {number}"} for number in range(100)]
    prompts[33]["prompt"] = None
    rows, types = mapped(ray.data.from_items(prompts), "chat", sim.url, format=format, model="sim-chat")
    assert len(rows) == 100
    assert types == {"number": "int64", "prompt": "string", "answer": "string", "error": "string"}
    failed = rows.pop(33)
    assert failed["answer"] is None
    assert failed["error"].startswith("TypeError: map: a row of chat is a text or a mapping of arguments")
    assert [row["answer"] for row in rows] == [row["prompt"].removeprefix("Say: ") for row in rows]
    assert {row["error"] for row in rows} == {""}


def test_conversations_vectors_and_rankings(sim: SimServer) -> None:
    system, user = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say: x", "name": "me"},
    )
    items = [
        {"number": number, "messages": [system, user], "query": "a", "documents": ["b", "c"], "text": "d"}
        for number in range(10)
    ]
    data = ray.data.from_items(items)
    rows, _ = mapped(data, "chat", sim.url, inputs=["messages"])
    assert [row["answer"] for row in rows] == ["x"] * 10
    assert sim.requests[-1].json["messages"] == [system, user]
    rows, types = mapped(data, "embeddings", sim.url, inputs="text", answer="vector")
    assert types["vector"] == "list<item: double>"
    assert {len(row["vector"]) for row in rows} == {384}
    rows, types = mapped(data, "rerank", sim.url, inputs=["query", "documents"])
    assert types["answer"] == "list<item: struct<index: int64, relevance_score: double>>"
    assert sorted(each["index"] for each in rows[0]["answer"]) == [0, 1]


def test_several_actors_and_servers_and_functions() -> None:
    def request(row: dict[str, Any]) -> str:
        return f"Say: {row['number'] * 2}"

    with SimServer() as one, SimServer() as two:
        client = AsyncVLLM(keys=[Key(name="1", url=one.url), Key(name="2", url=two.url)])
        data = ray.data.range(200, override_num_blocks=8).rename_columns({"id": "number"})
        rows, _ = mapped(data, "chat", client, actors=2, inputs=request)
        assert [row["answer"] for row in rows] == [str(number * 2) for number in range(200)]
        assert len(one.requests) + len(two.requests) == 200
        assert min(len(one.requests), len(two.requests)) >= 50
        assert len({request.client for request in one.requests}) < 200  # connections are kept


def test_a_server_that_refuses_at_times_loses_no_row(sim: SimServer) -> None:
    sim.fail_next("503", times=2, retry_after=0)
    data = ray.data.from_items([{"number": number, "prompt": "Say: a"} for number in range(50)])
    rows, _ = mapped(data, "chat", sim.url)
    assert [(row["answer"], row["error"]) for row in rows] == [("a", "")] * 50


def test_the_documentation_s_example(sim: SimServer, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "bulk.md").read_text("utf-8")
    (code,) = re.findall(r"<!-- run: ray -->\n```python\n(.*?)```", page, re.DOTALL)
    code = code.replace("http://localhost:8000", sim.url).replace('"llama"', '"sim-chat"')
    exec(compile(code, "bulk.md", "exec"), {})
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert sorted(line for line in shown if len(line) == 2) == sorted([str(n), str(n)] for n in range(100))
