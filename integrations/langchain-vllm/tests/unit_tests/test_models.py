"""What the classes are, without a server: fields, secrets, copies, registration."""

from __future__ import annotations

import copy
import pickle

import pytest
from langchain.chat_models import init_chat_model
from langchain.embeddings import init_embeddings
from langchain_core.load import dumpd, dumps, load
from pydantic import ValidationError
from vllm_connect import ConfigError, Key

import langchain_vllm
from langchain_vllm import ChatVLLM, VLLMCompletion, VLLMCrossEncoder, VLLMEmbeddings, VLLMRerank, register

CLASSES = [ChatVLLM, VLLMCompletion, VLLMCrossEncoder, VLLMEmbeddings, VLLMRerank]
every = pytest.mark.parametrize("cls", CLASSES)


def test_names():
    assert sorted(langchain_vllm.__all__) == sorted(
        [*(cls.__name__ for cls in CLASSES), "__version__", "register"]
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
def test_copies_and_pickles_make_their_own_clients(cls):
    model = cls(base_url="http://a")
    client = model._client()
    assert model._client() is client
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other._client() is not client
        assert other.base_url == "http://a"
    model.close()
    assert model._client() is not client


def test_a_ready_client_is_used():
    from vllm_connect import VLLM

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
