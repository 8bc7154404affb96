"""The list of models: every server is asked at once, and one that fails hides no other."""

import pytest

from vllm_connect import InternalServerError, Key
from vllm_connect._transport._httpx import httpx


def backends(**replies):
    """Keys of servers, and what each of them answers."""
    keys = [Key(name=f"{name}-key", url=f"http://{name}:8000") for name in replies]
    return keys, lambda request: replies[request.url.host]


def models(*names):
    return (200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


async def test_listing_models_asks_every_backend(canned):
    keys, answer = backends(one=models("model-from-backend-1"), two=models("model-from-backend-2"))
    client = canned(answer, keys=keys)
    page = await client("models.list")
    assert sorted(request.url.host for request in client.requests) == ["one", "two"]
    assert [model.id for model in page.data] == ["model-from-backend-1", "model-from-backend-2"]
    assert [model.key_names for model in page.data] == [["one-key"], ["two-key"]]
    assert {(each.key_name, each.status) for each in page.key_statuses} == {
        ("one-key", "success"), ("two-key", "success"),
    }  # fmt: skip


@pytest.mark.parametrize("failure", [(500, b"down"), (200, {"error": "down"}), httpx.ConnectError("down")])
async def test_one_backend_that_fails_hides_no_other(canned, failure):
    keys, answer = backends(good=models("m"), bad=failure)
    page = await canned(answer, keys=keys)("models.list")
    assert [model.id for model in page.data] == ["m"]
    good, bad = page.key_statuses
    assert (good.key_name, good.status, good.error) == ("good-key", "success", None)
    assert (bad.key_name, bad.status) == ("bad-key", "list_models_failed")
    assert "down" in bad.error


async def test_when_all_fail_it_is_an_error(canned):
    keys, answer = backends(one=(500, b"first"), two=(400, {"error": "second"}))
    with pytest.raises(InternalServerError, match="first"):
        await canned(answer, keys=keys)("models.list")


@pytest.mark.parametrize(
    ("lengths", "least"), [((8192, 4096), 4096), ((4096, 8192), 4096), ((None, 8192), 8192)]
)
async def test_a_model_of_several_servers_has_the_least_context(canned, lengths, least):
    listed = [(200, {"data": [{"id": "m", "object": "model", "max_model_len": each}]}) for each in lengths]
    keys, answer = backends(one=listed[0], two=listed[1])
    (model,) = (await canned(answer, keys=keys)("models.list")).data
    assert model.key_names == ["one-key", "two-key"]
    assert model.max_model_len == least
