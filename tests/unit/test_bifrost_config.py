"""Bifrost's configuration: what is read, what is refused, and in which words."""

import contextlib
import json
import logging
import pickle
import re
import ssl
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_connect._keys.bifrost import ProviderConfig, ProxyConfig, load_keys
from vllm_connect._keys.key import Key, resolve
from vllm_connect._keys.policy import Policy
from vllm_connect.errors import ConfigError, MissingURLError

SECRET = "sk-do-not-show-me"
DOCUMENTED = {
    "name": "vllm-local",
    "value": "",
    "models": ["meta-llama/Llama-3.2-1B-Instruct"],
    "weight": 1.0,
    "vllm_key_config": {"url": "http://localhost:8000", "model_name": "meta-llama/Llama-3.2-1B-Instruct"},
    "use_anthropic_endpoints": False,
}


def key(**fields):
    return {"name": "a", "vllm_key_config": {"url": "http://gpu:8000"}, **fields}


def document(*keys, **provider):
    return {"providers": {"openai": {}, "vllm": {"keys": list(keys) or [key()], **provider}}}


def load_key(**fields):
    return load_keys([key(**fields)]).keys[0]


def load_network(**fields):
    return load_keys(document(network_config=fields))


def refusal(config):
    with pytest.raises(ConfigError) as error:
        load_keys(config)
    return str(error.value)


@pytest.fixture
def warnings(caplog):
    with caplog.at_level(logging.WARNING, "vllm_connect"):
        yield lambda: [record.getMessage() for record in caplog.records]


# --- where it comes from ---------------------------------------------------------------------------

FORMS = [
    document(DOCUMENTED),
    {"keys": [DOCUMENTED]},
    [DOCUMENTED],
    MappingProxyType({"keys": (DOCUMENTED,)}),
]


@pytest.mark.parametrize("config", FORMS)
def test_every_form_of_the_documented_key(config, warnings):
    model = "meta-llama/Llama-3.2-1B-Instruct"
    expected = Key(name="vllm-local", url="http://localhost:8000", models=[model], model_name=model)
    assert load_keys(config) == ProviderConfig(keys=(expected,))
    assert not warnings()


@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_a_file(tmp_path, as_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document(DOCUMENTED)), "utf-8-sig")
    assert load_keys(as_path(path)) == load_keys(document(DOCUMENTED))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not JSON: Expecting value in line 1, column 1"),
        (
            b'{"keys":\n [{"value": "sk-do-not-show-me" 1}]}',
            "is not JSON: Expecting ',' delimiter in line 2, column 33",
        ),
        (b"\xff\xfe", "is not in UTF-8"),
        (
            b'{"keys": [{"name": "a", "value": "sk-do-not-show-me", "value": ""}]}',
            "has the field 'value' twice",
        ),
        (b'{"keys": [{"name": "a", "value": 1}]}', "keys[0].value: must be a string, not int"),
        (b'[{"name": "a", "weight": NaN}]', "[0].weight: key 'a': weight must be finite"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, problem):
    path = tmp_path / "bifrost.json"
    if content is not None:
        path.write_bytes(content)
    message = refusal(path)
    assert message.startswith(f"{path}: {problem}")
    assert SECRET not in message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"keys": [{"value": "sk-do-not-show-me"}]}', "config must be the path of a file, or a mapping"),
        (b"config.json", "config must be the path"),
        (None, "config must be the path"),
        ({}, "config: has neither 'providers' nor 'keys'"),
        (
            {"providers": {"openai": {}, "azure": {}}},
            "config: providers: no provider 'vllm': there is openai, azure",
        ),
        ({"providers": []}, "config: providers: must be an object, not list"),
        ({"providers": {"vllm": []}}, "config: providers.vllm: must be an object, not list"),
        ({"providers": {"vllm": {}}}, "config: providers.vllm.keys: must be a list of keys, not NoneType"),
        ({"keys": "a"}, "config: keys: must be a list of keys, not str"),
        ({"keys": []}, "config: keys: no keys"),
        (["a"], "config: [0]: must be an object, not str"),
        ([key(), key()], "config: two keys are named 'a'"),
    ],
)
def test_what_is_no_configuration(config, message):
    assert refusal(config).startswith(message)
    assert SECRET not in refusal(config)


# --- keys ------------------------------------------------------------------------------------------


def test_every_field_of_a_key(warnings):
    full = {
        "id": "k-1",
        "name": "b",
        "value": "env.GPU2_KEY",
        "models": ["fast", "llama"],
        "blacklisted_models": ["slow"],
        "weight": 2,
        "aliases": {
            "fast": "qwen",
            "big": {"model_id": "llama-70b", "model_family": "llama", "description": "x"},
        },
        "enabled": False,
        "vllm_key_config": {"url": "env.GPU2_URL", "model_name": "qwen"},
        "use_for_batch_api": True,
        "use_anthropic_endpoints": None,
        "config_hash": "abc",
        "status": "list_models_failed",
        "description": "the second",
        "azure_key_config": None,
    }
    expected = Key(
        name="b",
        url="env.GPU2_URL",
        api_key="env.GPU2_KEY",
        models=["fast", "llama"],
        blacklisted_models=["slow"],
        model_name="qwen",
        weight=2,
        aliases={"fast": "qwen", "big": "llama-70b"},
        enabled=False,
    )
    assert load_keys([full]).keys == (expected,)
    assert not warnings()


def test_defaults_of_a_key():
    assert load_keys([{"id": "k-1"}]).keys == (Key(name="k-1"),)
    assert load_key(models=None, weight=None, enabled=None, aliases=None, value=None).models == ("*",)
    with pytest.raises(MissingURLError, match=r"set vllm_key_config\.url on key 'k-1'"):
        resolve(load_keys(document({"id": "k-1"}, network_config={"base_url": "http://x"})).keys[0])


def test_an_empty_list_of_models_allows_none_since_bifrost_1_5():
    assert load_key(models=[]).models == ()
    config = document(key(models=[]), key(name="b", models=["x"]))
    assert [k.models for k in load_keys({**config, "version": 2}).keys] == [(), ("x",)]
    assert [k.models for k in load_keys({**config, "version": 1}).keys] == [("*",), ("x",)]


@pytest.mark.parametrize(
    ("value", "api_key"),
    [
        ("sk", "sk"),
        ("", None),
        (None, None),
        ("env.K", "env.K"),
        ('"sk"', "sk"),
        ('"env.K"', "env.K"),
        ('"sk', '"sk'),
        ("{sk}", "{sk}"),
        ({"value": "sk", "env_var": "", "from_env": False}, "sk"),
        ({"value": "", "env_var": "env.K", "from_env": True}, "env.K"),
        ({"value": "sk-o************************cret", "env_var": "env.K", "from_env": True}, "env.K"),
        ({"value": "env.K", "env_var": "env.K"}, "env.K"),
        ({"value": "", "env_var": "", "from_env": False}, None),
        ({"value": "", "ref": "K", "type": "env"}, "env.K"),
        ({"value": "sk", "type": "plain_text"}, "sk"),
        ('{"value": "", "env_var": "env.K", "from_env": true}', "env.K"),
    ],
)
def test_every_form_of_a_secret(value, api_key):
    assert load_key(value=value).api_key == api_key


def test_a_url_takes_the_same_forms():
    for url in ("env.U", {"value": "env.U", "env_var": "env.U", "from_env": False}, '"env.U"'):
        assert load_key(vllm_key_config={"url": url}).url == "env.U"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": None}, "name: must be a string: every key needs a name"),
        ({"name": 1}, "name: must be a string"),
        ({"value": 1}, "value: must be a string, not int"),
        ({"value": "********"}, "value: is what Bifrost shows in place of a secret"),
        ({"value": "sk-d************************t-me"}, "value: is what Bifrost shows in place of a secret"),
        (
            {"value": {"value": "", "ref": "a/b", "type": "vault"}},
            "value: is kept in a vault, which this client",
        ),
        ({"value": {"vaule": ""}}, "value.vaule: unknown field: did you mean value?"),
        ({"value": "s\nk"}, "value: key 'a': api_key holds a line break"),
        (
            {"vllm_key_config": {"url": "host:8000"}},
            "vllm_key_config.url: key 'a': url 'host:8000' has no scheme",
        ),
        ({"vllm_key_config": {"URL": "x"}}, "vllm_key_config.URL: unknown field"),
        (
            {"vllm_key_config": {"modelname": "x"}},
            "vllm_key_config.modelname: unknown field: did you mean model_name?",
        ),
        (
            {"vllm_key_config": {"model_name": 1}},
            "vllm_key_config.model_name: key 'a': model_name must be a string",
        ),
        ({"vllm_key_config": "http://x"}, "vllm_key_config: must be an object, not str"),
        ({"models": "llama"}, "models: key 'a': models must be a list of model names, not str"),
        (
            {"blacklisted_models": ["x", "X"]},
            "blacklisted_models: key 'a': blacklisted_models holds 'X' twice",
        ),
        ({"weight": "1"}, "weight: key 'a': weight must be a number, not str"),
        ({"enabled": "yes"}, "enabled: key 'a': enabled must be True or False"),
        ({"aliases": ["a"]}, "aliases: key 'a': aliases must be a mapping"),
        ({"aliases": {"x": {"model_id": ""}}}, "aliases: key 'a': aliases holds ''"),
        ({"aliases": {"x": {}}}, "aliases: key 'a': aliases must hold names of models, not NoneType"),
        ({"aliases": {"x": {"model": "y"}}}, "aliases.x.model: unknown field: did you mean model_id?"),
        ({"model": ["x"]}, "model: unknown field: did you mean models?"),
        ({"wieght": 0}, "wieght: unknown field: did you mean weight?"),
        ({"url": "http://x"}, "url: unknown field: did you mean vllm_key_config.url?"),
        ({"api_key": SECRET}, "api_key: unknown field: did you mean value?"),
        ({"azure_key_config": {}}, "azure_key_config: unknown field"),
        ({"qqq": 1}, "qqq: unknown field; known are name value models"),
    ],
)
def test_a_wrong_field_of_a_key_is_refused_by_its_place(fields, message):
    shown = refusal(document(key(name="other"), key(**fields)))
    assert shown.startswith(f"config: providers.vllm.keys[1].{message}")
    assert SECRET not in shown


def test_what_a_client_cannot_do_for_a_key_is_warned_of(warnings):
    load_key(use_anthropic_endpoints=True, aliases={"x": {"model_id": "y", "use_anthropic_endpoints": True}})
    assert warnings() == [
        "config: [0].use_anthropic_endpoints has no effect in this client",
        "config: [0].aliases.x.use_anthropic_endpoints has no effect in this client",
    ]


# --- the provider ----------------------------------------------------------------------------------


def test_every_setting_that_a_client_can_honour(warnings):
    config = load_network(
        default_request_timeout_in_seconds=30,
        stream_idle_timeout_in_seconds=60,
        keep_alive_timeout_in_seconds=3,
        max_retries=0,
        retry_backoff_initial=500,
        retry_backoff_max="1m1.5s",
        max_conns_per_host=10,
        extra_headers={"X-Team": "a"},
        insecure_skip_verify=True,
        ca_cert_pem="env.CA",
    )
    assert config == ProviderConfig(
        keys=config.keys,
        timeout=30,
        policy=Policy(stream_idle_timeout=60, retry_backoff_initial=0.5, retry_backoff_max=61.5),
        keep_alive_timeout=3,
        max_retries=0,
        max_connections=10,
        extra_headers={"X-Team": "a"},
        verify=False,
        ca_cert_pem="env.CA",
    )
    assert not warnings()


def test_zero_and_null_mean_the_default():
    names = ["default_request_timeout_in_seconds", "retry_backoff_initial", "max_conns_per_host"]
    for nothing in (0, None):
        config = load_network(**dict.fromkeys(names, nothing), max_retries=None, extra_headers=None)
        assert config == ProviderConfig(keys=config.keys)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5),
        ("1.5s", 1.5),
        ("1m30s", 90),
        ("1h", 3600),
        ("250us", 0.00025),
        (".5s", 0.5),
        ("0s", None),
    ],
)
def test_durations(text, seconds):
    policy = load_network(retry_backoff_initial=text).policy
    assert policy == (None if seconds is None else Policy(retry_backoff_initial=seconds))


@pytest.mark.parametrize(
    ("strategy", "balance"),
    [
        ("weighted_random", "weighted"),
        ("round_robin", "round_robin"),
        ("least_used", "least_busy"),
        ("fill_first", "fill_first"),
        ("", None),
        (None, None),
    ],
)
def test_how_keys_are_selected(strategy, balance, warnings):
    selection = {"strategy": strategy, "sticky_limit": 3, "cooldown_seconds": 60}
    config = load_keys(document(key_selection=selection))
    assert config.balance == balance
    assert config.policy == Policy(sticky_limit=3, cooldown=60)
    assert {name: config.arguments(dict).get(name) for name in ("balance", "policy")} == {
        "balance": balance,
        "policy": config.policy,
    }
    assert not warnings()


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"strategy": "random"}, "key_selection.strategy: must be 'weighted_random' or 'round_robin'"),
        ({"strategy": 3}, "key_selection.strategy: must be 'weighted_random' or 'round_robin'"),
        ({"sticky_limit": 1.5}, "key_selection.sticky_limit: must be a whole number"),
        ({"cooldown_seconds": -1}, "key_selection.cooldown_seconds: must not be negative"),
        (["round_robin"], "key_selection: must be an object"),
    ],
)
def test_selections_that_cannot_be_right(selection, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_keys(document(key_selection=selection))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"max_retries": 1.5}, "max_retries: must be a whole number, not float"),
        ({"max_retries": True}, "max_retries: must be a whole number, not bool"),
        ({"max_retries": -1}, "max_retries: must not be negative"),
        (
            {"default_request_timeout_in_seconds": "30"},
            "default_request_timeout_in_seconds: must be a number, not str",
        ),
        (
            {"default_request_timeout_in_seconds": float("nan")},
            "default_request_timeout_in_seconds: must not be",
        ),
        ({"default_request_timeout_in_seconds": 10**400}, "default_request_timeout_in_seconds: must not be"),
        (
            {"retry_backoff_initial": "5"},
            "retry_backoff_initial: must be milliseconds, or a duration such as",
        ),
        ({"retry_backoff_max": "soon"}, "retry_backoff_max: must be milliseconds, or a duration such as"),
        ({"retry_backoff_max": ""}, "retry_backoff_max: must be milliseconds, or a duration such as"),
        ({"extra_headers": ["a"]}, "extra_headers: must be an object, not list"),
        ({"extra_headers": {"X-A": 1}}, "extra_headers.X-A: must be a string of ASCII characters"),
        (
            {"extra_headers": {"X-A": f"{SECRET}\n"}},
            "extra_headers.X-A: must be a string of ASCII characters",
        ),
        ({"insecure_skip_verify": "no"}, "insecure_skip_verify: must be true or false, not str"),
        ({"ca_cert_pem": SECRET}, "ca_cert_pem: must be a certificate in PEM form"),
        ("x", "must be an object, not str"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_place(network, message):
    shown = refusal(document(network_config=network))
    separator = "." if isinstance(network, dict) else ": "
    assert shown.startswith(f"config: providers.vllm.network_config{separator}{message}")
    assert SECRET not in shown


def test_what_has_no_effect_is_said(warnings):
    load_keys(
        document(
            network_config={
                "base_url": "http://x",
                "enforce_http2": True,
                "insecure_skip_verfy": True,
                "allow_private_network": False,
            },
            send_back_raw_request=True,
            send_back_raw_response=False,
            key_selection={"strategi": "round_robin"},
            netwrk_config={"max_retries": 5},
            concurrency_and_buffer_size={"concurrency": 1, "buffer_size": 1},
        )
    )
    place, nothing = "config: providers.vllm", "has no effect in this client"
    assert sorted(warnings()) == [
        f"{place}.key_selection.strategi {nothing}: did you mean strategy?",
        f"{place}.network_config.base_url {nothing}: did you mean vllm_key_config.url of each key?",
        f"{place}.network_config.enforce_http2 {nothing}",
        f"{place}.network_config.insecure_skip_verfy {nothing}: did you mean insecure_skip_verify?",
        f"{place}.netwrk_config {nothing}: did you mean network_config?",
        f"{place}.send_back_raw_request {nothing}",
    ]


# --- proxy, certificates, and the client's arguments ------------------------------------------------


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ({"type": "ftp"}, ".type: must be 'none', 'http', 'socks5' or 'environment'"),
        ({"url": "http://x"}, ".type: must be"),
        ({"type": "http"}, ".url: is needed by a proxy of type 'http'"),
        ({"type": "http", "url": 1}, ".url: must be a string"),
        ({"type": "http", "URL": "http://x"}, ".URL: unknown field"),
        ("http://x", ": must be an object"),
    ],
)
def test_a_wrong_proxy_is_refused(proxy, message):
    assert refusal(document(proxy_config=proxy)).startswith(f"config: providers.vllm.proxy_config{message}")


def test_the_address_of_a_proxy(monkeypatch):
    monkeypatch.setenv("PROXY", "http://proxy:3128/")
    monkeypatch.setenv("PASSWORD", SECRET)
    proxy = load_keys(
        document(
            proxy_config={"type": "http", "url": "env.PROXY", "username": "me", "password": "env.PASSWORD"}
        )
    ).proxy
    assert proxy.address() == ("http://proxy:3128/", ("me", SECRET))
    assert ProxyConfig(type="socks5", url="proxy:1080").address() == ("socks5://proxy:1080", None)
    assert ProxyConfig(type="none").address() is ProxyConfig(type="environment").address() is None
    assert load_keys(document(proxy_config={})).proxy is None

    for proxy in (
        ProxyConfig(type="http", url=f"socks5://u:{SECRET}@p"),
        ProxyConfig(type="socks5", url="http://p"),
    ):
        with pytest.raises(ConfigError, match=r"proxy_config\.url '.*' is not of the form") as error:
            proxy.address()
        assert SECRET not in str(error.value)
    monkeypatch.delenv("PROXY")
    with pytest.raises(
        ConfigError, match=r"proxy_config\.url refers to environment variable PROXY, which is empty"
    ):
        ProxyConfig(type="http", url="env.PROXY").address()


def test_certificates(monkeypatch):
    config = load_keys([key()])
    assert config.ssl_context() is None
    assert load_network(insecure_skip_verify=True).ssl_context().verify_mode == ssl.CERT_NONE
    monkeypatch.setenv("CA", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
    with pytest.raises(ConfigError, match=r"network_config\.ca_cert_pem is not a certificate in PEM form"):
        load_network(ca_cert_pem="env.CA").ssl_context()
    monkeypatch.delenv("CA")
    with pytest.raises(ConfigError, match="environment variable CA, which is empty or not set"):
        load_network(ca_cert_pem="env.CA").ssl_context()
    system = ssl.create_default_context().get_ca_certs(binary_form=True)
    if system:
        pem = ssl.DER_cert_to_PEM_cert(system[0])
        assert len(load_network(ca_cert_pem=pem).ssl_context().get_ca_certs()) >= len(system)


def test_arguments_of_a_client():
    assert load_keys([key()]).arguments(pytest.fail) == {"keys": (Key(name="a", url="http://gpu:8000"),)}
    arguments = load_network(
        default_request_timeout_in_seconds=30, max_retries=0, extra_headers={"X-Team": "a"}
    ).arguments(pytest.fail)
    assert arguments["timeout"].read == 30
    assert arguments["timeout"].connect == 10
    assert arguments["max_retries"] == 0
    assert arguments["default_headers"] == {"X-Team": "a"}


def test_arguments_that_need_an_http_client(warnings):
    config = load_keys(
        document(
            key(),
            key(name="b"),
            network_config={
                "max_conns_per_host": 10,
                "insecure_skip_verify": True,
                "stream_idle_timeout_in_seconds": 60,
            },
            proxy_config={"type": "http", "url": "http://proxy:3128", "username": "me", "password": SECRET},
        )
    )
    made = config.arguments(dict)["http_client"]
    assert sorted(made) == ["limits", "proxy", "verify"]
    assert made["limits"].max_connections == 20
    assert made["limits"].keepalive_expiry < 5
    assert made["verify"].verify_mode == ssl.CERT_NONE
    assert made["proxy"].auth == ("me", SECRET)
    assert not warnings()
    for kind, trust in (("none", False), ("environment", True)):
        assert load_keys(document(proxy_config={"type": kind})).arguments(dict)["http_client"] == {
            "trust_env": trust
        }


# --- secrecy ---------------------------------------------------------------------------------------


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126)).map("zQ9~".__add__))
def test_no_secret_in_any_text(secret):
    config = load_keys(
        document(
            key(value=secret),
            network_config={"extra_headers": {"Authorization": secret}},
            proxy_config={
                "type": "http",
                "url": f"http://{secret}@proxy",
                "username": secret,
                "password": secret,
            },
        )
    )
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert hash(again) == hash(config)
    for each in (config, again, config.proxy, config.keys):
        assert secret not in f"{each} {each!r}"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["keys", "name", "value", "env_var", "vllm_key_config", "url", "aliases", "models"]
                )
                | st.text(max_size=3),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_json_is_read_or_refused(value):
    for config in (
        [value],
        {"keys": value},
        {"providers": value},
        document(key(vllm_key_config=value)),
        document(key(value=value)),
    ):
        with contextlib.suppress(ConfigError):
            load_keys(config)
