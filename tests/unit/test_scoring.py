"""Scores and classes come in the order of the input, whatever the order of the reply."""

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
