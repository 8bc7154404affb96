"""Rerank: what is sent, what is read, and which of the three paths is asked."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vllm_connect import BadRequestError, InternalServerError, InvalidResponseError, Key, NotFoundError
from vllm_connect._wire.objects import ErrorInReply, NotAReply
from vllm_connect._wire.payloads import ErrorPayload
from vllm_connect.errors import APIStatusError, AuthenticationError
from vllm_connect.resources.rerank import path_is_missing, read_rerank, rerank_call, wire_document

ROWS = json.loads((Path(__file__).parent / "data" / "replies.json").read_text("utf-8"))
RECORDED = [row for row in ROWS if row["path"] in ("/rerank", "/v1/rerank", "/v2/rerank")]
DOCUMENTS = ["a", "b", "c"]


def read(results, documents=DOCUMENTS, *, whole=False, **more):
    return read_rerank(json.dumps({"results": results, **more}).encode(), documents, "m", whole=whole)


def result(index, relevance_score=0.5, **more):
    return {"index": index, "relevance_score": relevance_score, **more}


def body_of(documents=("a", "b"), **given):
    call = rerank_call({"query": "q", **given}, list(documents))
    assert len({variant.body for variant in call.variants}) == 1
    assert [variant.path for variant in call.variants] == ["/v1/rerank", "/rerank", "/v2/rerank"]
    body = json.loads(call.variants[0].body)
    scores = [result(index) for index in range(len(documents))][: body.get("top_n")]
    reply = call.read(json.dumps({"results": scores}).encode())
    return body, reply.results[0].document is not None


# --- the request -----------------------------------------------------------------------------------


def test_r6_parameters_are_forwarded_and_documents_are_plain_strings():
    body, whole = body_of(
        ["a", {"text": "b", "id": "2", "meta": {"x": 1}}],
        top_n=1, max_tokens_per_doc=9, priority=2, return_documents=True,
        extra_body={"truncate": "END"}, instruction="rank",
    )  # fmt: skip
    assert body == {
        "query": "q", "documents": ["a", "b"], "top_n": 1, "max_tokens_per_doc": 9, "priority": 2,
        "truncate": "END", "instruction": "rank",
    }  # fmt: skip
    assert whole


@pytest.mark.parametrize("nested", [None, {}, {"top_n": 2}, {"top_n": 2, "return_documents": True}])
def test_parameters_may_be_nested(nested):
    body, whole = body_of(params=nested)
    nested = dict(nested or {})
    assert whole == nested.pop("return_documents", False)
    assert body == {"query": "q", "documents": ["a", "b"], **nested}
    assert body_of(params=nested, top_n=1)[0]["top_n"] == 1  # what is not nested wins


@pytest.mark.parametrize(("top_n", "found"), [(None, 1), (None, 0), (1, 2), (5, 1)])
async def test_a_reply_owes_as_many_results_as_were_asked_for(canned, top_n, found):
    client = canned((200, {"results": [result(index) for index in range(found)]}))
    with pytest.raises(InvalidResponseError, match=f"{found} rerank results where"):
        await client("rerank.create", query="q", documents=["a", "b"], top_n=top_n)


def test_unset_top_n_is_not_sent():
    assert "top_n" not in body_of(top_n=None)[0]


PART = {"type": "image_url", "image_url": {"url": "data:…"}}


@pytest.mark.parametrize(
    ("document", "wire"),
    [
        ("", ""),
        ("a", "a"),
        ({"text": "a"}, "a"),
        ({"text": "", "id": 1}, ""),
        ({"type": "text", "text": "a"}, "a"),
        ({"content": [PART]}, {"content": [PART]}),
        ({"content": (PART,), "id": 1}, {"content": [PART]}),
        (PART, {"content": [PART]}),
    ],
)
def test_forms_of_a_document(document, wire):
    assert json.loads(json.dumps(wire_document(document, 0))) == wire


@pytest.mark.parametrize("document", [5, None, b"a", ["a"], {}, {"texts": "a"}, {"text": 5}, {"content": ""}])
async def test_what_is_no_document(canned, document):
    client = canned((200, {}))
    with pytest.raises(TypeError, match=rf"create: documents\[1\] is {type(document).__name__}; pass"):
        await client("rerank.create", query="q", documents=["a", document])
    assert not client.requests


@pytest.mark.parametrize("documents", ["abc", b"abc", {"text": "a"}, None, 5])
async def test_what_is_no_list_of_documents(canned, documents):
    client = canned((200, {}))
    with pytest.raises(TypeError, match=r"rerank\.create: documents must be a list"):
        await client("rerank.create", query="q", documents=documents)
    assert not client.requests


@pytest.mark.parametrize("documents", [[], (), iter([])])
async def test_no_documents(canned, documents):
    with pytest.raises(ValueError, match="documents is empty"):
        await canned()("rerank.create", query="q", documents=documents)


@pytest.mark.parametrize("top_n", [0, -1])
async def test_top_n_below_one(canned, top_n):
    with pytest.raises(ValueError, match=f"top_n must be at least 1, not {top_n}"):
        await canned()("rerank.create", query="q", documents=["a"], top_n=top_n)
    with pytest.raises(ValueError, match="top_n must be at least 1"):
        await canned()("rerank.create", query="q", documents=["a"], params={"top_n": top_n})


async def test_documents_may_be_any_iterable(canned):
    client = canned((200, {"results": [result(1), result(0, 0.4)]}))
    answer = await client("rerank.create", query="q", documents=(d for d in "ab"), return_documents=True)
    assert [each.document for each in answer.results] == ["b", "a"]
    assert json.loads(client.requests[0].content) == {"query": "q", "documents": ["a", "b"]}


# --- the reply -------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: row["name"])
def test_recorded_replies(row):
    payload = json.loads(row["body"])
    count = max(each["index"] for each in payload["results"]) + 1
    documents = [f"document {i}" for i in range(count)]
    answer = read_rerank(row["body"].encode(), documents, None, whole=True)
    assert [(r.index, r.relevance_score) for r in answer.results] == [
        (each["index"], each["relevance_score"]) for each in payload["results"]
    ]
    assert [r.document for r in answer.results] == [documents[r.index] for r in answer.results]
    assert (answer.id, answer.model) == (payload["id"], payload["model"])
    assert answer.usage.total_tokens == payload["usage"]["total_tokens"]


def test_recorded_has_some():
    assert len(RECORDED) >= 15


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ("missing", "rerank results are missing"),
        (None, "rerank results are missing"),
        ({}, "rerank results must be an array"),
        ("a", "rerank results must be an array"),
        (["a"], "a rerank result must be an object"),
        ([None], "a rerank result must be an object"),
        ([{"relevance_score": 1}], "a rerank result has no index"),
        ([result(None)], "a rerank result has no index"),
        ([result("0")], "a rerank result has no index"),
        ([result(True)], "a rerank result has no index"),
        ([result(0.5)], "a rerank result has no index"),
        ([result(3)], r"index 3 is out of range \(0 to 2\)"),
        ([result(-1)], r"index -1 is out of range \(0 to 2\)"),
        ([result(1), result(0), result(1)], "index 1 is there twice"),
        ([{"index": 2}], "rerank result 2 has no relevance_score"),
        ([result(2, None)], "rerank result 2 has no relevance_score"),
        ([result(2, "0.5")], "rerank result 2 has no relevance_score"),
        ([result(2, True)], "rerank result 2 has no relevance_score"),
        ([result(2, None, score=None)], "rerank result 2 has no relevance_score"),
    ],
)
async def test_nonsense(canned, results, message):
    payload = {} if results == "missing" else {"results": results}
    client = canned((200, payload))
    with pytest.raises(InvalidResponseError, match=message):
        await client("rerank.create", query="q", documents=DOCUMENTS)
    assert len(client.requests) == 1


@pytest.mark.parametrize("score", ["1e999", "-1e999"])
def test_a_score_must_be_finite(score):
    content = b'{"results": [{"index": 0, "relevance_score": %b}]}' % score.encode()
    with pytest.raises(NotAReply):
        read_rerank(content, ["a"], "m", whole=False)


def test_error_and_other_payloads():
    with pytest.raises(ErrorInReply, match="boom"):
        read_rerank(b'{"error": {"message": "boom"}}', ["a"], "m", whole=False)
    for content in (b"", b"[]", b"null", b"<html>"):
        with pytest.raises(NotAReply):
            read_rerank(content, ["a"], "m", whole=False)


def scores(answer):
    return [(each.index, each.relevance_score) for each in answer.results]


def test_zero_is_a_score_and_score_is_another_name():
    assert scores(read([result(0, 0.0, score=0.9)])) == [(0, 0.0)]
    assert scores(read([{"index": 0, "score": 0.9}])) == [(0, 0.9)]
    assert scores(read([result(0, None, score=0)])) == [(0, 0.0)]
    assert scores(read([result(0, 1)])) == [(0, 1.0)]
    assert isinstance(read([result(0, 1)]).results[0].relevance_score, float)


def test_no_results_is_an_answer():
    assert read([]).results == []


@settings(deadline=None, max_examples=100)
@given(st.permutations(range(6)), st.lists(st.sampled_from([-1.5, 0.0, 0.5, 0.9]), min_size=6, max_size=6))
def test_sorted_by_score_then_by_index(order, values):
    answer = read([result(index, values[index]) for index in order], list("abcdef"), whole=True)
    places = [(-each.relevance_score, each.index) for each in answer.results]
    assert places == sorted(places)
    assert {each.index: each.relevance_score for each in answer.results} == dict(enumerate(values))
    assert all(each.document == "abcdef"[each.index] for each in answer.results)


def test_documents_are_those_of_the_request():
    documents = ["a", {"text": "b", "id": 7, "meta": {"x": [1]}}]
    sent = [result(1, 0.9, document={"text": "upstream", "multi_modal": None}), result(0, 0.1)]
    answer = read(sent, documents, whole=True)
    assert [each.document for each in answer.results] == [documents[1], "a"]
    assert answer.results[0].document is not documents[1]
    assert [each.document for each in read(sent, documents).results] == [None, None]


def test_top_n_is_the_servers_business():
    assert len(read([result(0), result(1), result(2)]).results) == 3


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 5, "total_tokens": 5}, (5, 0, 5)),
        ({"total_tokens": 5}, (0, 0, 5)),
        ({"prompt_tokens": 5}, (5, 0, 5)),
        ({"prompt_tokens": 0, "input_tokens": 3, "output_tokens": 2}, (3, 2, 5)),
        ({"prompt_tokens": 4, "input_tokens": 3, "completion_tokens": 1, "total_tokens": 9}, (4, 1, 9)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({}, None),
        (None, None),
        ("5", None),
    ],
)
def test_usage(usage, counts):
    found = read([result(0)], usage=usage).usage
    assert (found and (found.prompt_tokens, found.completion_tokens, found.total_tokens)) == counts


def test_model_is_the_requested_one():
    assert read([], model="upstream").model == "m"
    assert read_rerank(b'{"results": [], "model": "upstream"}', [], None, whole=False).model == "upstream"


# --- the paths -------------------------------------------------------------------------------------

GOOD = (200, {"id": "1", "results": [result(0)]})
MISSING = (404, {"detail": "Not Found"})
NO_MODEL = (404, {"error": {"message": "The model `default` does not exist.", "code": 404}})
NO_RERANK = (501, {"error": {"message": "no rerank", "code": 501}})
ROUTER = (500, b"Failed to build rerank response", {"content-type": "text/plain"})
CALL = {"model": "m", "query": "q", "documents": ["a"]}


def paths(client):
    return [request.url.path for request in client.requests]


def test_which_replies_mean_that_the_path_is_missing():
    variant = rerank_call({"query": "q"}, ["a"]).variants[0]
    plain, router = (ErrorPayload(text, None, text, "text") for text in ("boom", ROUTER[1].decode()))
    missing = [status for status in range(400, 600) if path_is_missing(variant, status, plain)]
    assert missing == [404, 405, 501]
    assert [s for s in range(400, 600) if path_is_missing(variant, s, router)] == [404, 405, 500, 501]


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_falls_back(canned, status):
    client = canned((status, {"detail": "no"}), GOOD)
    assert scores(await client("rerank.create", **CALL)) == [(0, 0.5)]
    assert paths(client) == ["/v1/rerank", "/rerank"]
    assert client.requests[0].content == client.requests[1].content
    await client("rerank.create", **CALL)
    assert paths(client)[2:] == ["/rerank"]  # remembered


async def test_behind_vllm_router(canned):
    client = canned(NO_MODEL, ROUTER, GOOD)
    await client("rerank.create", **CALL)
    await client("rerank.create", **CALL)
    assert paths(client) == ["/v1/rerank", "/rerank", "/v2/rerank", "/v2/rerank"]


@pytest.mark.parametrize("status", [400, 401, 403, 408, 409, 413, 422, 429, 500, 502, 503, 504])
async def test_does_not_fall_back(canned, status):
    client = canned((status, {"error": {"message": "boom", "code": 404}}), GOOD)
    with pytest.raises(APIStatusError) as raised:
        await client("rerank.create", **CALL)
    assert raised.value.status_code == status
    assert paths(client) == ["/v1/rerank"]


@pytest.mark.parametrize("payload", [NO_MODEL[1], MISSING[1], {"code": 404, "object": "error"}])
async def test_does_not_fall_back_on_a_404_inside_a_200(canned, payload):
    client = canned((200, payload), GOOD)
    with pytest.raises(NotFoundError):
        await client("rerank.create", **CALL)
    assert paths(client) == ["/v1/rerank"]


@pytest.mark.parametrize(
    ("replies", "message", "cls"),
    [
        ((MISSING, MISSING, MISSING), "Not Found", NotFoundError),
        ((MISSING, NO_MODEL, MISSING), "The model `default` does not exist", NotFoundError),
        ((NO_MODEL, MISSING, NO_RERANK), "`default`", NotFoundError),
        (((404, b"", {}), (405, b"<html>", {}), MISSING), "Not Found", NotFoundError),
        ((MISSING, NO_RERANK, MISSING), "no rerank", InternalServerError),
        ((MISSING, MISSING, (400, {"error": {"message": "bad", "code": 400}})), "bad", BadRequestError),
        ((MISSING, (401, {"error": "Unauthorized"}), GOOD), "Unauthorized", AuthenticationError),
        ((NO_MODEL, MISSING, (200, {"error": {"message": "bad", "code": 400}})), "bad", BadRequestError),
    ],
)
async def test_all_fail(canned, replies, message, cls):
    client = canned(*replies)
    with pytest.raises(cls, match=message):
        await client("rerank.create", **CALL)
    assert paths(client) == ["/v1/rerank", "/rerank", "/v2/rerank"][: 2 if replies[1][0] == 401 else 3]


async def test_a_failure_is_not_remembered(canned):
    client = canned(MISSING, MISSING, MISSING, GOOD)
    with pytest.raises(NotFoundError):
        await client("rerank.create", **CALL)
    await client("rerank.create", **CALL)
    assert paths(client)[3:] == ["/v1/rerank"]


async def test_a_remembered_path_that_vanished(canned):
    client = canned(MISSING, MISSING, GOOD, MISSING, MISSING, GOOD, GOOD)
    for _ in range(3):
        await client("rerank.create", **CALL)
    assert paths(client)[:3] == ["/v1/rerank", "/rerank", "/v2/rerank"]
    assert paths(client)[3:] == ["/v2/rerank", "/v1/rerank", "/rerank", "/rerank"]


async def test_remembered_for_each_server(canned):
    def answer(request):
        return GOOD if request.url.path == {"a": "/rerank", "b": "/v2/rerank"}[request.url.host] else MISSING

    client = canned(answer, keys=[Key(name=n, url=f"http://{n}", models=[n]) for n in "ab"])
    for _ in range(2):
        for model in "ab":
            await client("rerank.create", **{**CALL, "model": model})
    asked = [(request.url.host, request.url.path) for request in client.requests]
    assert asked[:2] == [("a", "/v1/rerank"), ("a", "/rerank")]
    assert asked[2:5] == [("b", "/v1/rerank"), ("b", "/rerank"), ("b", "/v2/rerank")]
    assert asked[5:] == [("a", "/rerank"), ("b", "/v2/rerank")]


async def test_a_retry_and_a_fallback(canned):
    client = canned(MISSING, (503, b""), MISSING, GOOD, max_retries=1)
    await client("rerank.create", **CALL)
    assert paths(client) == ["/v1/rerank", "/rerank", "/v1/rerank", "/rerank"]
