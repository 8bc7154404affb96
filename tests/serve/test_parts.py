"""What is pure in the gateway: edits of a document, a server's metrics, the errors of the last hour."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from vllm_connect.errors import NoKeyError
from vllm_connect.serve.config.editing import (
    Conflict,
    KeyEdit,
    keys_in,
    models_of,
    reference_of,
    stored_secret,
    url_of,
    with_key,
    without_key,
)
from vllm_connect.serve.http.errors import refusal_of
from vllm_connect.serve.http.exchange import Exchange
from vllm_connect.serve.metrics.troubles import Troubles
from vllm_connect.serve.metrics.upstream import compare, read_metrics
from vllm_connect.serve.page.forms import Wrong, api_key_of, edit_of

KEY: dict[str, Any] = {
    "id": "7", "name": "a", "value": "sk-1", "use_for_batch_api": True, "aliases": {"short": "long"},
    "vllm_key_config": {"url": "http://gpu1:8000", "unknown": 1}, "models": ["x"],
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "version": 2,
    "providers": {"openai": {"keys": [1]}, "vllm": {"keys": [KEY], "network_config": {"max_retries": 3}}},
}


class TestEditing:
    def test_what_is_not_known_stays(self) -> None:
        before = deepcopy(DOCUMENT)
        edit = KeyEdit("b", "http://gpu2:8000", "llama", None, 2.0, False, None)
        changed = with_key(DOCUMENT, edit, "a")
        assert before == DOCUMENT, "the given document is left alone"
        (key,) = keys_in(changed)
        assert key == {
            **KEY, "name": "b", "models": ["*"], "weight": 2, "enabled": False,
            "vllm_key_config": {"url": "http://gpu2:8000", "unknown": 1, "model_name": "llama"},
        }  # fmt: skip
        assert {**changed["providers"]["vllm"], "keys": []} == {**DOCUMENT["providers"]["vllm"], "keys": []}
        assert changed["providers"]["openai"] == {"keys": [1]}
        assert changed["version"] == 2

    @pytest.mark.parametrize("document", [{}, {"providers": {}}, {"providers": {"vllm": {}}}, {"keys": []}])
    def test_a_first_key(self, document: dict[str, Any]) -> None:
        changed = with_key(document, KeyEdit("a", "http://gpu1", api_key=""), None)
        assert [key["name"] for key in keys_in(changed)] == ["a"]
        assert json.dumps(changed)

    def test_names_do_not_collide(self) -> None:
        two = with_key(DOCUMENT, KeyEdit("b", "http://gpu2"), None)
        for replacing, name in ((None, "a"), ("b", "a"), ("gone", "c")):
            with pytest.raises(Conflict):
                with_key(two, KeyEdit(name, "http://gpu3"), replacing)
        assert keys_in(without_key(two, "a"))[0]["name"] == "b"
        with pytest.raises(Conflict):
            without_key(DOCUMENT, "gone")

    def test_bifrosts_long_forms(self) -> None:
        key = {
            "value": {"value": "", "env_var": "env.TOKEN", "from_env": True},
            "vllm_key_config": {"url": {"env_var": "env.URL", "value": "http://x"}},
            "models": ["*"],
        }
        assert reference_of(key) == "env.TOKEN"
        assert not stored_secret(key)
        assert stored_secret({"value": {"value": "sk-1"}})
        assert url_of(key) == "env.URL"
        assert models_of(key) is None


FIELDS = {
    "name": "a",
    "url": "http://gpu1:8000/",
    "allowed": "some",
    "models": " x \n\ny\nx",
    "weight": "0",
}


class TestForms:
    def test_an_edit(self) -> None:
        edit = edit_of(FIELDS, KEY)
        assert edit == KeyEdit("a", "http://gpu1:8000/", "", ("x", "y"), 0.0, False, None)

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"name": " "}, "name"),
            ({"url": ""}, "url"),
            ({"models": "\n"}, "models"),
            *[({"weight": weight}, "weight") for weight in ("x", "-1", "nan", "inf")],
        ],
    )
    def test_what_cannot_be_right(self, fields: dict[str, str], field: str) -> None:
        with pytest.raises(Wrong) as caught:
            edit_of({**FIELDS, **fields}, None)
        assert caught.value.field == field

    def test_a_stored_token_stays_with_its_server(self) -> None:
        assert api_key_of({}, KEY, "http://gpu1:8000") is None
        assert api_key_of({"remove_token": "on"}, KEY, "http://evil") == ""
        assert api_key_of({"api_key": "sk-2"}, KEY, "http://gpu2") == "sk-2"
        assert api_key_of({"api_key": ""}, None, "http://gpu2") == ""
        with pytest.raises(Wrong):
            api_key_of({}, KEY, "http://evil")


class TestMetrics:
    TEXT = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 2.0
vllm:num_requests_running{engine="1",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.5
vllm:prefix_cache_queries_total{engine="0"} 1e+03
vllm:prefix_cache_hits_total{engine="0"} 250.0
vllm:generation_tokens_total{engine="0"} %d
vllm:time_to_first_token_seconds_sum{engine="0"} 4.0
vllm:time_to_first_token_seconds_count{engine="0"} 20
vllm:time_to_first_token_seconds_bucket{le="0.1"} 3
"""

    def test_a_look(self) -> None:
        before, now = read_metrics(self.TEXT % 100, 10.0), read_metrics(self.TEXT % 500, 12.0)
        first = compare(before, None)
        assert (first.running, first.waiting, first.kv_cache) == (5.0, 1.0, 0.5)
        assert (first.hits, first.tokens, first.first) == (0.25, None, 200.0)
        assert compare(now, before).tokens == 200.0

    def test_a_server_that_was_started_anew(self) -> None:
        before, now = read_metrics(self.TEXT % 500, 10.0), read_metrics(self.TEXT % 20, 12.0)
        assert compare(now, before).tokens == 10.0

    def test_a_server_that_tells_nothing(self) -> None:
        assert set(compare(read_metrics("hello", 1.0), None)) == {None}


class TestTroubles:
    def test_the_last_hour(self) -> None:
        now = 10_000.0
        troubles = Troubles(lambda: now)
        scope = {"method": "POST", "path": "/v1/x", "headers": []}

        def note(failure: str, key: str) -> None:
            exchange = Exchange(scope, None, None)  # type: ignore[arg-type]  # it is over
            exchange.failure, exchange.key_name, exchange.message = failure, key, f"of {key}"
            troubles.note(exchange)

        note("server_error", "a")
        now += 3000
        note("server_error", "a")
        note("upstream_unreachable", "b")
        listed = [(each.code, each.key_name, each.times) for each in troubles.recent()]
        assert listed == [("upstream_unreachable", "b", 1), ("server_error", "a", 2)]
        assert "running" in troubles.recent()[0].advice
        now += 3000
        assert [each.times for each in troubles.recent()] == [1, 1]
        now += 3000
        assert troubles.recent() == []
        for number in range(1000):
            note("server_error", str(number))
        assert len(troubles.recent()) == 200


class TestRefusals:
    def test_a_bug_is_no_refusal(self) -> None:
        assert (
            refusal_of(TypeError("f() got an unexpected keyword argument 'x'"), "chat.completions.create")
            is None
        )
        assert refusal_of(KeyError("x"), "rerank.create") is None
        told = refusal_of(TypeError("rerank.create: documents must be a list"), "rerank.create")
        assert told is not None
        assert told.status == 400
        nobody = refusal_of(NoKeyError("no key supports the model 'x'"), "")
        assert nobody is not None
        assert nobody.status == 404
