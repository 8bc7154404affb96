"""`vllm_connect.ray.Map` on batches as Ray passes them, without Ray; `tests/ray_data` has the whole."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from vllm_connect import AsyncVLLM, Key
from vllm_connect.ray import Map
from vllm_connect.sim import SimServer

Made = Callable[..., Map]


@pytest.fixture
def make_map(vllm_sim: SimServer) -> Iterator[Made]:
    made: list[Map] = []

    def make(operation: Any, client: Any = vllm_sim.url, **options: Any) -> Map:
        made.append(Map(operation, client, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def test_a_column_is_asked_and_the_others_are_kept(make_map: Made, vllm_sim: SimServer) -> None:
    batch = {"id": np.arange(20), "prompt": np.array([f"Say: {number}" for number in range(20)])}
    done = await make_map("chat", temperature=0)(batch)
    assert list(done) == ["id", "prompt", "answer", "error"]
    assert done["id"] is batch["id"]
    assert done["answer"] == [str(number) for number in range(20)]
    assert done["error"] == [""] * 20
    assert {request.json["temperature"] for request in vllm_sim.requests} == {0}


async def test_every_operation_has_an_answer_for_one_cell(make_map: Made) -> None:
    async def answer(operation: str, inputs: Any = "prompt", **columns: Any) -> Any:
        done = await make_map(operation, inputs=inputs)(columns)
        assert done["error"] == [""]
        return done["answer"][0]

    assert await answer("chat", prompt=["Say: x"]) == "x"
    text = await answer("completions", ["prompt", "max_tokens"], prompt=["Say: x"], max_tokens=np.array([3]))
    assert isinstance(text, str)
    vector = await answer("embeddings", "text", text=["a"])
    assert (type(vector), type(vector[0]), len(vector)) == (list, float, 384)
    pairs = {"query": ["a"], "documents": np.array([["b", "c", "d"]])}
    ranking = await answer("rerank", ["query", "documents"], **pairs)
    assert sorted(each["index"] for each in ranking) == [0, 1, 2]
    scores = [each["relevance_score"] for each in ranking]
    assert scores == sorted(scores, reverse=True)
    texts = {"queries": ["a"], "documents": [["b", "c"]]}
    assert len(await answer("score", ["queries", "documents"], **texts)) == 2
    assert isinstance(await answer("classify", prompt=["a"]), str)
    assert len(await answer("tokenize", prompt=["a b"])) == 2


async def test_what_fails_is_told_in_its_row(make_map: Made) -> None:
    prompts = ["Say: a", {"messages": 5}, 7, None, {"messages": [], "no_such": 1}, "Say: b"]
    done = await make_map("chat", answer="reply", error="problem")({"prompt": prompts})
    assert done["reply"] == ["a", None, None, None, None, "b"]
    problems = [problem.split(":")[0] for problem in done["problem"]]
    assert problems == ["", "BadRequestError", "TypeError", "TypeError", "TypeError", ""]


async def test_a_function_makes_the_requests_and_another_reads_the_replies(make_map: Made) -> None:
    def request(row: dict[str, Any]) -> dict[str, Any]:
        if row["number"] == 2:
            raise LookupError("there is no second")
        return {"messages": [{"role": "user", "content": f"Say: {row['number']}"}], "n": 2}

    def read(reply: Any) -> list[str]:
        return [choice.message.content for choice in reply.choices]

    done = await make_map("chat", inputs=request, read=read)({"number": np.arange(4)})
    assert done["answer"] == [["0", "0"], ["1", "1"], None, ["3", "3"]]
    assert done["error"][2] == "LookupError: there is no second"
    several = await make_map("chat", inputs=request)({"number": [1]})
    assert "the reply has 2 answers, not one: say with read=" in several["error"][0]


async def test_the_operation_may_be_a_function(make_map: Made) -> None:
    async def both(client: AsyncVLLM, prompt: str, suffix: str) -> dict[str, Any]:
        reply = await client.chat.completions.create(messages=[{"role": "user", "content": prompt + suffix}])
        count = await client.tokenize(prompt=prompt)
        return {"text": reply.choices[0].message.content, "tokens": count.count}

    done = await make_map(both, inputs=["prompt"], suffix="!")({"prompt": ["Say: x"]})
    assert done["answer"] == [{"text": "x!", "tokens": 3}]


async def test_what_arrow_filled_with_nulls_is_not_sent(make_map: Made, vllm_sim: SimServer) -> None:
    messages = np.empty(1, dtype=object)
    messages[0] = np.array(
        [
            {"role": "system", "content": "Hi", "name": None},
            {"role": "user", "content": "Say: x", "name": "me"},
        ]
    )
    batch = {"messages": messages, "seed": np.array([None], dtype=object), "top_k": np.array([4])}
    done = await make_map("chat", inputs=["messages", "seed", "top_k"])(batch)
    assert done["answer"] == ["x"]
    (request,) = vllm_sim.requests
    assert request.json["messages"][0] == {"role": "system", "content": "Hi"}
    assert "seed" not in request.json
    assert request.json["top_k"] == 4


async def test_batches_share_one_level(make_map: Made, vllm_sim: SimServer) -> None:
    running, most = 0, 0

    async def wait(client: AsyncVLLM, prompt: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return prompt

    mapped = make_map(wait, inputs=["prompt"], concurrency=3)
    batches = [list(range(start, start + 10)) for start in (0, 10, 20)]
    done = await asyncio.gather(*(mapped({"prompt": batch}) for batch in batches))
    assert [each["answer"] for each in done] == batches
    assert most == 3


async def test_a_batch_that_is_cancelled_takes_no_other_along(make_map: Made, vllm_sim: SimServer) -> None:
    mapped = make_map("chat", concurrency=1)
    given_up = asyncio.create_task(mapped({"prompt": ["Say: a"] * 5}))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert (await mapped({"prompt": ["Say: b"]}))["answer"] == ["b"]


async def test_several_servers_and_copies(make_map: Made) -> None:
    with SimServer() as one, SimServer() as two:
        keys = [Key(name="1", url=one.url), Key(name="2", url=two.url)]
        mapped = make_map("chat", AsyncVLLM(keys=keys))
        assert (await mapped({"prompt": ["Say: a"] * 40}))["answer"] == ["a"] * 40
        assert min(len(one.requests), len(two.requests)) >= 10
        copy = pickle.loads(pickle.dumps(mapped))
        assert (await copy({"prompt": ["Say: b"]}))["answer"] == ["b"]
        copy.close()


async def test_what_is_wrong_is_said_at_once(make_map: Made, vllm_sim: SimServer) -> None:
    with pytest.raises(ValueError, match="one of chat, completions, embeddings"):
        make_map("chats")
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        await make_map("chat", concurrency=0)({"prompt": []})
    with pytest.raises(KeyError, match="prompt"):
        await make_map("chat")({"text": ["a"]})
    with pytest.raises(TypeError, match="a batch is a mapping from names to arrays"):
        await make_map("chat")([1, 2])
    assert vllm_sim.requests == []


async def test_an_empty_batch_is_answered(make_map: Made) -> None:
    assert await make_map("chat")({"prompt": []}) == {"prompt": [], "answer": [], "error": []}


async def test_columns_are_replaced_on_a_second_run(make_map: Made) -> None:
    done = await make_map("chat")({"prompt": ["Say: x"], "answer": [None], "error": ["it was down"]})
    assert (done["answer"], done["error"]) == (["x"], [""])
