"""Scores and classes come in the order of the input, whatever the order of the reply."""

import json

import numpy as np
import pytest

from vllm_connect import InvalidResponseError

CALLS = {
    "score.create": ({"queries": "q", "documents": ["a", "b", "c"]}, lambda score: {"score": score}, "score"),
    "classify.create": (
        {"input": ["a", "b", "c"]},
        lambda score: {"probs": [score], "num_classes": 1, "label": str(score)},
        "probs",
    ),
}


@pytest.fixture(params=CALLS)
def call(request):
    return request.param, *CALLS[request.param]


async def test_order_is_that_of_the_input(canned, call):
    operation, params, item, field = call
    data = [{"index": index, **item(index / 10)} for index in (2, 0, 1)]
    reply = await canned((200, {"data": data}))(operation, **params)
    assert [getattr(each, field) for each in reply.data] == [item(index / 10)[field] for index in range(3)]


@pytest.mark.parametrize("indices", [[0, 2], [0, 0], [1], [None, 1], []])
async def test_missing_results(canned, call, indices):
    operation, params, item, _ = call
    data = [{**({} if index is None else {"index": index}), **item(0.5)} for index in indices]
    with pytest.raises(InvalidResponseError):
        await canned((200, {"data": data}))(operation, **params)


COUNTED = {
    "one with many": ("score.create", {"queries": "q", "documents": ["a", "b", "c"]}, 3),
    "pairwise": ("score.create", {"text_1": ["a", "b"], "text_2": ["c", "d"]}, 2),
    "one pair": ("score.create", {"text_1": "a", "text_2": {"content": []}}, 1),
    "classes": ("classify.create", {"input": ["a", "b"]}, 2),
    "classes of a text": ("classify.create", {"input": "a"}, 1),
    "classes of tokens": ("classify.create", {"input": [1, 2, 3]}, 1),
    "classes of texts as tokens": ("classify.create", {"input": [[1], [2, 3]]}, 2),
    "classes of messages": ("classify.create", {"messages": [{"role": "user", "content": "a"}] * 3}, 1),
    "pooling": ("pooling.create", {"input": ["a", "b"]}, 2),
}


def _item(operation: str, index: int) -> dict[str, object]:
    if operation == "pooling.create":
        return {"index": index, "data": [0.5], "object": "pooling"}
    return {"index": index, **CALLS[operation][1](0.5)}


@pytest.mark.parametrize("name", COUNTED)
async def test_as_many_results_as_inputs(canned, name):
    operation, params, count = COUNTED[name]
    for found in (count - 1, count + 1, count):
        data = [_item(operation, index) for index in range(found)]
        call = canned((200, {"data": data}))
        if found == count:
            assert len((await call(operation, **params)).data) == count
        else:
            with pytest.raises(
                InvalidResponseError, match=f"{found} .* for {count} " if found else "no answer"
            ):
                await call(operation, **params)


async def test_a_plug_in_answers_as_it_likes(canned):
    reply = await canned((200, {"data": [{"index": 0, "data": 1}, {"index": 1, "data": 2}]}))(
        "pooling.create", data={"any": "thing"}
    )
    assert len(reply.data) == 2


def pooled(data, **item):
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return (200, {"id": "p-1", "model": "m", "data": [{"index": 0, "data": data, **item}], "usage": usage})


@pytest.mark.parametrize("data", [[1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]]])
async def test_pooled_numbers_as_arrays(canned, data):
    raw = np.array(data, "<f4")
    item = {"index": 0, "start": 0, "end": raw.nbytes, "shape": list(raw.shape)}
    about = json.dumps({"id": "p-1", "model": "m", "data": [item], "usage": None})
    as_bytes = (200, raw.tobytes(), {"content-type": "application/octet-stream", "metadata": about})
    refused = (400, {"error": {"message": "encoding_format: Input should be 'float'", "code": 400}})
    for replies, formats in (([as_bytes], ["bytes"]), ([refused, pooled(data)], ["bytes", "float"])):
        client = canned(*replies)
        reply = await client("pooling.create", model="m", input="a", as_numpy=True)
        (item,) = reply.data
        assert (reply.id, reply.model, item.index, item.data.dtype) == ("p-1", "m", 0, np.float32)
        np.testing.assert_array_equal(item.data, raw)
        sent = [json.loads(request.content) for request in client.requests]
        assert [each["encoding_format"] for each in sent] == formats
        assert all(each.keys() == {"model", "input", "encoding_format"} for each in sent)


async def test_many_pooled_inputs_are_floats(canned):
    """Whose shapes would not fit into a header."""
    client = canned((200, {"data": [{"index": i, "data": [1.0]} for i in range(40)]}))
    reply = await client("pooling.create", model="m", input=["a"] * 40, as_numpy=True)
    assert [item.data.shape for item in reply.data] == [(1,)] * 40
    assert json.loads(client.requests[0].content)["encoding_format"] == "float"


@pytest.mark.parametrize("params", [{"input": "a", "encoding_format": "base64"}, {"data": {"x": 1}}])
async def test_what_has_no_arrays(canned, params):
    with pytest.raises(ValueError, match="as_numpy=True goes neither"):
        await canned((200, {}))("pooling.create", model="m", as_numpy=True, **params)


@pytest.mark.parametrize("data", ["AAAA", [[1.0], [2.0, 3.0]], ["a"]])
async def test_pooled_numbers_that_are_none(canned, data):
    client = canned(pooled(data))
    with pytest.raises(InvalidResponseError):
        await client("pooling.create", model="m", input="a", as_numpy=True, encoding_format="float")
