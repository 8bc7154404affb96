"""Inputs are cut into requests by their number and by their bytes."""

from __future__ import annotations

import json
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_connect import BadRequestError
from vllm_connect.adapters import batches

inputs = st.lists(st.text(max_size=20) | st.lists(st.integers(0, 99999), max_size=5), max_size=12)


@given(inputs, st.integers(1, 5), st.integers(1, 120), st.integers(0, 9))
def test_no_batch_is_too_large(inputs, at_most, most_bytes, besides):
    cut = batches(inputs, at_most, bytes_besides=besides, most_bytes=most_bytes)
    assert [each for batch in cut for each in batch] == inputs
    assert all(batch for batch in cut)
    for batch in cut:
        assert len(batch) <= at_most
        size = len(orjson.dumps(batch)) + besides * len(batch)
        assert len(batch) == 1 or size - 2 <= most_bytes
    for one, other in pairwise(cut):  # as few as there can be
        both = [*one, other[0]]
        size = sum(len(orjson.dumps(each)) + besides + 1 for each in both)
        assert len(both) > at_most or size > most_bytes or _is_surely_small(inputs, besides, most_bytes)


def _is_surely_small(inputs, besides, most_bytes):
    return all(isinstance(each, str) for each in inputs) and (
        sum(map(len, inputs)) * 6 + len(inputs) * (besides + 3) <= most_bytes
    )


def test_what_is_small_is_cut_by_number_alone():
    texts = ["a" * 1000] * 100
    assert [len(batch) for batch in batches(texts, 32)] == [32, 32, 32, 4]


def test_what_is_large_is_cut_by_bytes():
    text = "ü" * 5_000_000  # 10 MB in UTF-8, less than it has characters times six
    assert [len(batch) for batch in batches([text] * 7, 32)] == [3, 3, 1]
    assert [len(batch) for batch in batches([text * 4, "a", "b"], 32)] == [1, 2]


def test_half_a_character_is_not_told_here():
    assert [len(batch) for batch in batches(["\ud800", "a"], 2, most_bytes=6)] == [1, 1]


LIMIT = "Failed to buffer the request body: length limit exceeded"


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        # As vllm-rs 0.33 answers.
        (400, {"error": {"message": LIMIT, "type": "Bad Request", "param": None, "code": 400}}),
        (413, b"<html><title>413 Request Entity Too Large</title></html>"),
    ],
)
async def test_a_request_that_is_too_large_says_so(canned, status, payload):
    client = canned((status, payload))
    with pytest.raises(Exception, match=r"the request is of 1\.0 MiB; .*MAX_REQUEST_BODY_SIZE") as raised:
        await client("embeddings.create", model="m", input="a" * 2**20)
    assert raised.value.status_code == status
    assert not client.questions


async def test_the_simulators_limit(make_client, kind):
    from vllm_connect.sim import SimServer

    with SimServer(max_body_size=1000) as server:
        client = make_client(server.url)
        with pytest.raises(BadRequestError, match="length limit exceeded") as raised:
            await client("embeddings.create", input="a" * 1000)
        assert raised.value.type == "Bad Request"
        assert (await client("embeddings.create", input="a" * 500)).data
        assert json.loads(server.requests[-1].body)["input"] == "a" * 500
