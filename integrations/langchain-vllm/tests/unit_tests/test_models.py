"""What the classes are, without a server: fields, secrets, copies, registration."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from langchain.chat_models import init_chat_model
from langchain.embeddings import init_embeddings
from langchain_core.load import dumpd, dumps, load
from openai import DefaultHttpxClient, Timeout
from pydantic import SecretStr, ValidationError
from vllm_connect import VLLM, AsyncVLLM, ConfigError, Key

import langchain_vllm
from langchain_vllm import ChatVLLM, VLLMCompletion, VLLMCrossEncoder, VLLMEmbeddings, VLLMRerank, register

CLASSES = [ChatVLLM, VLLMCompletion, VLLMCrossEncoder, VLLMEmbeddings, VLLMRerank]
every = pytest.mark.parametrize("cls", CLASSES)


def test_names():
    assert sorted(langchain_vllm.__all__) == sorted(
        [*(cls.__name__ for cls in CLASSES), "VLLMDecisions", "__version__", "register"]
    )


@every
def test_unknown_arguments_are_refused(cls):
    with pytest.raises(ValidationError, match="temprature"):
        cls(base_url="http://a", temprature=1)


@every
def test_a_server_is_needed(cls):
    with pytest.raises(ConfigError, match="VLLM_BASE_URL"):
        cls(model="m")


@every
def test_either_keys_or_a_url(cls):
    with pytest.raises(ConfigError, match="not both"):
        cls(base_url="http://a", keys=[{"name": "b", "url": "http://b"}])


def test_the_key_of_the_environment_is_for_the_url_of_the_environment(monkeypatch):
    monkeypatch.setenv("VLLM_BASE_URL", "http://a")
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    assert ChatVLLM().api_key.get_secret_value() == "secret"
    assert ChatVLLM(base_url="http://b").api_key is None


@every
def test_secrets_show_nowhere(cls):
    model = cls(base_url="http://ann:secret@a/v1", api_key="secret", default_headers={"X-Key": "secret"})
    several = cls(keys=[Key(name="a", url="http://ann:secret@a", api_key="secret")])
    for each in (model, several):
        assert "secret" not in repr(each).replace("SecretStr", "")
        assert "secret" not in dumps(each).replace('"type": "secret"', "")
        assert "secret" not in str(each.model_dump()) + each.model_dump_json()
    model.extra_headers = {"X-Key": "secret"}
    assert "secret" not in dumps(model).replace('"type": "secret"', "")
    if hasattr(model, "_identifying_params"):
        assert "secret" not in str(model._identifying_params)


@every
def test_saved_and_loaded(cls):
    keys = [Key(name="a", url="http://a", api_key="env.A", models=["m"], aliases={"m": "n"}, weight=2)]
    model = cls(model="m", keys=keys)
    loaded = load(dumpd(model), allowed_objects=[cls], valid_namespaces=["langchain_vllm"])
    assert loaded.keys == keys
    assert loaded == model


@every
async def test_models_of_the_same_settings_share_their_clients(cls):
    model = cls(base_url="http://a.shared")
    client, async_client = model._client(), model._async_client()
    copies = [
        copy.deepcopy(model),
        copy.copy(model),
        pickle.loads(pickle.dumps(model)),
        cls(base_url=model.base_url),
    ]
    for other in copies:
        assert other == model
        assert other._client() is client
        assert other._async_client() is async_client
    copies[0].base_url = "http://b.shared"
    assert copies[0]._client() is not client
    assert model._client() is client
    model.close()
    assert not client.is_closed()  # others use it
    del other
    copies.clear()
    model._client()
    model.close()
    await model.aclose()
    assert client.is_closed()
    assert async_client.is_closed()
    assert not model._client().is_closed()


def test_a_ready_client_is_used():
    client = VLLM("http://a")
    assert ChatVLLM(client=client)._client() is client
    with pytest.raises(ConfigError, match="async_client="):
        ChatVLLM(client=client)._async_client()


def test_from_config():
    key = {"name": "a", "value": "env.A", "vllm_key_config": {"url": "http://a", "model_name": "m"}}
    config = {"providers": {"vllm": {"keys": [key], "network_config": {"max_retries": 5}}}}
    model = ChatVLLM.from_config(config, model="m", temperature=0)
    assert [each.name for each in model.keys] == ["a"]
    assert (model.max_retries, model.temperature) == (5, 0)


def test_register():
    register()
    register()
    model = init_chat_model("vllm:deepseek-r1", base_url="http://a", top_k=5)
    assert isinstance(model, ChatVLLM)
    assert (model.model, model.top_k) == ("deepseek-r1", 5)
    embeddings = init_embeddings("vllm:bge", base_url="http://a")
    assert isinstance(embeddings, VLLMEmbeddings)
    assert embeddings.model == "bge"


def test_the_cache_tells_models_apart():
    strings = {
        ChatVLLM(base_url="http://a", **fields)._get_llm_string()
        for fields in ({}, {"top_k": 1}, {"top_k": 2}, {"chat_template_kwargs": {"enable_thinking": False}})
    }
    assert len(strings) == 4


@every
def test_refusals_do_not_show_what_was_given(cls):
    for fields in (
        {"openai_api_key": "hush"},
        {"default_headers": "Authorization: hush"},
        {"api_key": ["hush"]},
    ):
        with pytest.raises(ValidationError) as caught:
            cls(base_url="http://a", **fields)
        assert "hush" not in str(caught.value)


@every
@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("model_name", "model"),
        ("request_timeout", "timeout"),
        ("openai_api_key", "api_key"),
        ("model_kwargs", "extra_body"),
    ],
)
def test_names_of_other_packages(cls, name, instead):
    with pytest.raises(ValidationError, match=f"did you mean {instead}="):
        cls(base_url="http://a", **{name: "x"})


def test_names_of_other_packages_by_class():
    with pytest.raises(ValidationError, match="did you mean max_tokens="):
        ChatVLLM(base_url="http://a", max_completion_tokens=1)
    with pytest.raises(ValidationError, match="did you mean batch_size="):
        VLLMEmbeddings(base_url="http://a", chunk_size=1)
    with pytest.raises(ValidationError, match="Extra inputs"):
        ChatVLLM(base_url="http://a", chunk_size=1)


@every
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_url": ""}, "base_url is empty"),
        ({"keys": []}, "no keys"),
        ({"keys": {"name": "a", "url": "http://a"}}, "keys is a list"),
        ({"keys": "http://a"}, "keys is a list"),
        ({"keys": ["http://a"]}, "list of vllm_connect.Key"),
    ],
)
def test_servers_that_are_none(cls, fields, message, monkeypatch):
    monkeypatch.setenv("VLLM_BASE_URL", "http://b")
    with pytest.raises(ConfigError, match=message):
        cls(**fields)


@every
def test_a_changed_copy_asks_its_own_server(cls):
    model = cls(base_url="http://a", api_key="old", default_headers={"X": "1"})
    for get in ("_client", "_async_client"):
        client = getattr(model, get)()
        for other in (
            model.model_copy(update={"base_url": "http://b"}),
            model.model_copy(update={"api_key": SecretStr("new")}),
        ):
            made = getattr(other, get)()
            assert made is not client
            assert made.keys[0].url == other.base_url
            assert made.keys[0].api_key == other.api_key.get_secret_value()
        assert getattr(model, get)() is client


@every
def test_a_changed_model_asks_its_new_server(cls):
    model = cls(base_url="http://a", api_key="old", default_headers={"X": "1"})
    for change in (
        {"api_key": SecretStr("new")},
        {"base_url": "http://b"},
        {"max_retries": 0},
        {"timeout": 3},
    ):
        before = model._client(), model._async_client()
        for name, value in change.items():
            setattr(model, name, value)
        assert model._client() is not before[0]
        assert model._async_client() is not before[1]
    before = model._client()
    model.default_headers["X"] = "2"
    assert model._client() is not before
    assert model._client().keys[0].url == "http://b"


async def test_what_was_given_is_not_closed():
    http_client = DefaultHttpxClient()
    client, async_client = VLLM("http://a"), AsyncVLLM("http://a")
    for model in (ChatVLLM(base_url="http://a", http_client=http_client), ChatVLLM(client=client)):
        _ = model._client()
        model.close()
    model = ChatVLLM(async_client=async_client)
    await model.aclose()
    assert not http_client.is_closed
    assert not client.is_closed()
    assert not async_client.is_closed()
    own = ChatVLLM(base_url="http://a")
    made, amade = own._client(), own._async_client()
    own.close()
    await own.aclose()
    assert made.is_closed()
    assert amade.is_closed()


@pytest.mark.parametrize("cls", [ChatVLLM, VLLMCompletion])
def test_the_cache_tells_servers_apart(cls):
    def string(**fields: Any) -> str:
        model = cls(**fields)
        return model._get_llm_string() if cls is ChatVLLM else str(model._identifying_params)

    strings = [
        string(client=VLLM("http://ann:secret@a")),
        string(client=VLLM("http://b")),
        string(async_client=AsyncVLLM("http://c")),
        string(keys=[{"name": "a", "url": "http://d"}]),
        string(base_url="http://e"),
        string(base_url="http://e", default_headers={"X-Tenant": "secret"}),
        string(base_url="http://e", extra_headers={"X-Tenant": "secret2"}),
    ]
    assert len(set(strings)) == len(strings)
    assert "secret" not in str(strings)


def test_the_cache_tells_changed_models_apart():
    model = ChatVLLM(base_url="http://a", temperature=0)
    before = model._get_llm_string()
    assert model.model_copy(update={"temperature": 1})._get_llm_string() != before
    model.temperature = 1
    assert model._get_llm_string() != before


SECRETS_IN_URLS = [
    "http://user:SECRET@host:8000",
    "http://user:pa/SECRET@host:8000",
    "http://user:pa?SECRET@host:8000",
    "http://user:pa#SECRET@host:8000",
    "http://user:pa@SECRET@host:8000",
    "http://host:8000?token=SECRET",
]


@pytest.mark.parametrize("url", SECRETS_IN_URLS)
@pytest.mark.parametrize("kind", [ChatVLLM, VLLMEmbeddings, VLLMRerank])
def test_no_secret_of_a_url_is_shown_or_saved(kind, url):
    model = kind(model="m", base_url=url)
    assert "SECRET" not in f"{model!r}{model}{dumpd(model)}{model.model_dump()}{model._servers()}"
    assert dumpd(model)["kwargs"]["base_url"] == "http://host:8000"


def test_an_escaped_at_sign_in_the_path_is_no_credential():
    model = ChatVLLM(base_url="http://ann:a@b@host/team%40v1")
    assert dumpd(model)["kwargs"]["base_url"] == "http://host/team%40v1"


@every
def test_a_reference_to_the_environment_is_saved(cls):
    model = cls(base_url="http://a", api_key="env.MYKEY")
    assert dumpd(model)["kwargs"]["api_key"] == "env.MYKEY"
    loaded = load(dumpd(model), allowed_objects=[cls], valid_namespaces=["langchain_vllm"])
    assert loaded.api_key.get_secret_value() == "env.MYKEY"


@every
@pytest.mark.parametrize(
    ("timeout", "saved"),
    [
        (5, 5),
        (Timeout(5), 5.0),
        (Timeout(5, connect=2), {"connect": 2, "read": 5, "write": 5, "pool": 5}),
        (Timeout(None), {"connect": None, "read": None, "write": None, "pool": None}),
    ],
)
def test_timeouts_are_saved(cls, timeout, saved):
    model = cls(base_url="http://a", timeout=timeout)
    assert dumpd(model)["kwargs"]["timeout"] == model.model_dump()["timeout"] == saved
    loaded = load(dumpd(model), allowed_objects=[cls], valid_namespaces=["langchain_vllm"])
    assert loaded.timeout == (saved if isinstance(saved, (int, float)) else timeout)
    assert loaded._client() is not None


@every
def test_loading_what_is_registered(cls):
    register()
    model = cls(base_url="http://a")
    assert load(dumpd(model), allowed_objects="all", valid_namespaces=["langchain_vllm"]) == model
    with pytest.raises(ValueError, match="namespace"):
        load(dumpd(model), allowed_objects="all")
