"""Keys: validation, secrecy, URLs, references, selection."""

import copy
import dataclasses
import logging
import pickle
import random
from base64 import b64decode
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_connect._keys.balancing import Draw
from vllm_connect._keys.choosing import candidates, warn_once
from vllm_connect._keys.fleet import Fleet
from vllm_connect._keys.key import Key, Server, check_keys, resolve, split_prefix, wire_model
from vllm_connect.errors import ConfigError, MissingURLError, NoKeyError

SECRET = "sk-do-not-show-me"
URL = "http://gpu:8000"


@pytest.fixture(autouse=True)
def _forget_warnings():
    warn_once.cache_clear()


def names(servers):
    return [server.key.name for server in servers]


def shown(error):
    """Everything that a traceback would show of an error."""
    parts = []
    while error is not None:
        parts.append(f"{error} {error!r} {vars(error)}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return " ".join(parts)


# --- a key -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "name must be a string that is not empty"),
        ({"name": None}, "name must be a string that is not empty"),
        ({"url": 8000}, "key 'a': url must be a string, not int"),
        ({"url": "env."}, "must name an environment variable after 'env.'"),
        ({"api_key": b"sk"}, "api_key must be a string, not bytes"),
        ({"api_key": "sk\nsk"}, "line break or a character outside ASCII"),
        ({"api_key": "clé"}, "line break or a character outside ASCII"),
        ({"models": "llama"}, "models must be a list of model names, not str"),
        ({"models": None}, "models must be a list of model names, not NoneType"),
        ({"models": {"llama": 1}}, "models must be a list of model names, not dict"),
        ({"models": ["llama", 1]}, "models must hold names of models, not int"),
        ({"models": ["llama", ""]}, "empty or has spaces around it"),
        ({"models": [" llama"]}, "empty or has spaces around it"),
        ({"models": ["llama", "LLaMA"]}, "holds 'LLaMA' twice"),
        ({"models": ["llama", "vllm/llama"]}, "holds 'vllm/llama' twice"),
        ({"models": ["*", "llama"]}, "holds '*', which means every model, beside other values"),
        ({"blacklisted_models": ["llama", "*"]}, "blacklisted_models holds '*'"),
        ({"model_name": 1}, "model_name must be a string, not int"),
        ({"weight": "2"}, "weight must be a number, not str"),
        ({"weight": True}, "weight must be a number, not bool"),
        ({"weight": -0.1}, "weight must be finite and not negative"),
        ({"weight": float("nan")}, "weight must be finite and not negative"),
        ({"weight": float("inf")}, "weight must be finite and not negative"),
        ({"weight": 10**400}, "weight must be finite and not negative"),
        ({"aliases": [("a", "b")]}, "aliases must be a mapping of names to model names, not list"),
        ({"aliases": {"": "b"}}, "aliases holds '', which is empty"),
        ({"aliases": {"a": ""}}, "aliases holds '', which is empty"),
        ({"aliases": {"a ": "b"}}, "aliases holds 'a ', which is empty or has spaces"),
        ({"aliases": {"a": " b"}}, "aliases holds ' b', which is empty or has spaces"),
        ({"aliases": {"a": "b", "A": "c"}}, "aliases holds 'A' twice"),
        ({"aliases": {"a": {"model_id": "b"}}}, "aliases must hold names of models, not dict"),
        ({"enabled": "false"}, "enabled must be True or False, not str"),
    ],
)
def test_a_field_that_cannot_be_right_is_refused_with_the_reason(fields, message):
    with pytest.raises(ConfigError) as error:
        Key(**{"name": "a", **fields})
    assert message in str(error.value)


def test_lists_become_the_keys_own_and_blank_becomes_none():
    models, aliases = ["a"], {"b": "c"}
    key = Key(name="k", url="  ", api_key="", model_name=" ", models=models, aliases=aliases, weight=2)
    models.append("x")
    aliases["x"] = "y"
    assert (key.models, key.aliases, key.url, key.api_key, key.model_name) == (
        ("a",),
        {"b": "c"},
        None,
        None,
        None,
    )
    assert isinstance(key.weight, float)


def test_arguments_are_keywords_and_fields_are_frozen():
    with pytest.raises(TypeError):
        Key("a", URL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Key(name="a").name = "b"


def test_repr_shows_what_was_set_and_references_as_such():
    key = Key(name="b", url="env.GPU2_URL", api_key="env.GPU2_KEY", model_name="llama", weight=2)
    assert (
        repr(key)
        == "Key(name='b', url='env.GPU2_URL', api_key='env.GPU2_KEY', model_name='llama', weight=2.0)"
    )
    assert (
        repr(Key(name="a", url="http://u:p@h", api_key="s"))
        == "Key(name='a', url='http://***@h', api_key='***')"
    )


# Begins like nothing that is shown anyway.
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126)).map("zQ9~".__add__)


@given(secrets)
def test_no_secret_in_any_text(secret):
    key = Key(name="a", url=URL, api_key=secret)
    for each in (key, pickle.loads(pickle.dumps(key)), dataclasses.replace(key, name="b"), resolve(key)):
        assert secret not in f"{each} {each!r} {[each]}"


@given(
    secrets,
    st.sampled_from(["http://user:{}@h:8000/v1", "https://{}@h", "user:{}@h", "http://user:{}@h?x", "{}@"]),
)
def test_no_password_of_a_url_in_any_text(secret, form):
    texts = []
    try:
        key = Key(name="a", url=form.format(secret))
        server = resolve(key)
        texts = [key, [key], server, server.root, server.url("/v1/models")]
    except ConfigError as error:
        texts = [shown(error)]
    assert not any(secret in str(text) for text in texts)


def test_no_secret_in_an_error(monkeypatch):
    monkeypatch.setenv("K", f"{SECRET}\n{SECRET}")
    monkeypatch.setenv("U", f"http://u:{SECRET}@h/@")
    monkeypatch.setenv("T", SECRET)
    for fields in (
        {"api_key": "env.K"},
        {"url": "env.U"},
        {"url": "env.T"},
        {"url": f"http://u:{SECRET}@h", "api_key": SECRET},
    ):
        with pytest.raises(ConfigError) as error:
            resolve(Key(**{"name": "a", "url": URL, **fields}))
        assert SECRET not in shown(error.value)
    with pytest.raises(ConfigError) as error:
        Key(name="a", api_key=SECRET + "\x00")
    assert SECRET not in shown(error.value)


def test_round_trips():
    key = Key(name="a", url="http://u:p@h", models=["m"], aliases={"x": "y"}, weight=0.5)
    for same in (pickle.loads(pickle.dumps(key)), copy.deepcopy(key), Key(**dataclasses.asdict(key))):
        assert same == key
        assert hash(same) == hash(key)
    server = resolve(key)
    assert pickle.loads(pickle.dumps(server)) == server


# --- a server --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://host:8000", "http://host:8000"),
        ("http://host:8000/", "http://host:8000"),
        ("http://host:8000/v1", "http://host:8000"),
        ("http://host:8000/v1/", "http://host:8000"),
        ("http://host:8000//v1//", "http://host:8000"),
        ("http://host:8000/v1/v1", "http://host:8000"),
        (" HTTP://Host:8000\n", "http://host:8000"),
        ("https://host/team/v1", "https://host/team"),
        ("https://host/Team/", "https://host/Team"),
        ("https://host/v1/team", "https://host/v1/team"),
        ("https://host/v10", "https://host/v10"),
        ("http://[::1]:8000/v1", "http://[::1]:8000"),
        ("http://my_gpu", "http://my_gpu"),
    ],
)
def test_urls_of_the_same_server(url, root):
    server = resolve(Key(name="a", url=url))
    assert server == Server(Key(name="a", url=url), root, None)
    assert server.url("/v1/chat/completions") == f"{root}/v1/chat/completions"
    assert server.url("/rerank") == server.url("rerank") == f"{root}/rerank"


@given(
    st.sampled_from(["http", "https", "HTTPS"]),
    st.from_regex(r"[a-zA-Z][a-z0-9.-]{0,9}(:[1-9][0-9]{0,3})?", fullmatch=True),
    st.lists(st.sampled_from(["v1", "", "team", "V1", "v1x"]), max_size=5),
)
def test_normalising_a_url_twice_changes_nothing_more(scheme, host, path):
    root = resolve(Key(name="a", url="/".join([f"{scheme}://{host}", *path]))).root
    assert resolve(Key(name="a", url=root)).root == root
    assert resolve(Key(name="a", url=root + "/v1/")).root == root


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("unix:///run/vllm.sock", "unix://localhost/run/vllm.sock:"),
        ("unix:///run/vllm.sock:", "unix://localhost/run/vllm.sock:"),
        ("unix:///run/vllm.sock:/", "unix://localhost/run/vllm.sock:"),
        ("unix:///run/vllm.sock:/v1/", "unix://localhost/run/vllm.sock:"),
        ("unix:///run/Team%20A/vllm.sock:/team/v1", "unix://localhost/run/Team%20A/vllm.sock:/team"),
        ("unix://localhost/run/vllm.sock:/v1/", "unix://localhost/run/vllm.sock:"),
    ],
)
def test_url_of_a_unix_socket(url: str, root: str) -> None:
    server = resolve(Key(name="local", url=url))
    assert server.root == root
    assert server.url("/v1/models") == f"{root}/v1/models"
    assert resolve(Key(name="again", url=server.url("/v1/"))).root == root


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("host:8000", "url 'host:8000' has no scheme: did you mean http://host:8000?"),
        ("localhost", "did you mean http://localhost?"),
        ("10.0.0.1:8000/v1", "did you mean http://10.0.0.1:8000/v1?"),
        ("gpu1", "must begin with http:// or https://"),
        ("ftp://host", "must begin with http:// or https://"),
        ("http:/host", "must begin with http:// or https://"),
        ("/run/vllm.sock", "or be that of a Unix socket, for example unix:///run/vllm.sock"),
        ("unix:/run/vllm.sock", "not of the form unix:///PATH/OF/SOCKET"),
        ("unix://run/vllm.sock", "not of the form unix:///PATH/OF/SOCKET"),
        ("unix:///run/vllm.sock?x", "not of the form unix:///PATH/OF/SOCKET"),
        ("unix:///run/vllm.sock:8000", "not of the form unix:///PATH/OF/SOCKET"),
        ("unix:///run/vllm.sock:/v1/chat/completions", "is a route, not a server"),
        ("http://", "not of the form http://HOST:PORT"),
        ("http://host:", "not of the form"),
        ("http://host:eight", "not of the form"),
        ("http://host:65536", "not of the form"),
        ("http://https://host", "not of the form"),
        ("http://<host>:8000", "not of the form"),
        ("http://ho st", "not of the form"),
        ("http://host\\v1", "not of the form"),
        ("http://host/a@b", "not of the form"),
        ("http://host/?a=b", "'http://host/?***' must not have a query or a fragment"),
        ("http://host/#a", "must not have a query or a fragment"),
        ("http://host/team/v1/chat/completions", "is a route, not a server: did you mean http://host/team?"),
    ],
)
def test_a_url_that_cannot_work_is_refused_at_once_or_when_it_is_read(url, message, monkeypatch):
    with pytest.raises(ConfigError) as error:
        Key(name="a", url=url)
    assert message in str(error.value)
    assert not isinstance(error.value, MissingURLError)

    monkeypatch.setenv("GPU_URL", url)
    with pytest.raises(ConfigError) as error:
        resolve(Key(name="a", url="env.GPU_URL"))
    assert str(error.value).startswith("key 'a': url (environment variable GPU_URL) ")
    assert error.value.key_name == "a"


def test_references_are_read_when_the_key_is_used(monkeypatch):
    key = Key(name="b", url="env.GPU_URL", api_key="env.GPU_KEY")
    for port in (1, 2):
        monkeypatch.setenv("GPU_URL", f" http://gpu:{port}/v1\n")
        monkeypatch.setenv("GPU_KEY", f" key{port}\n")
        assert resolve(key) == Server(key, f"http://gpu:{port}", f"key{port}")


@pytest.mark.parametrize(
    ("url", "value", "message"),
    [
        (None, None, ""),
        ("", None, ""),
        ("env.GPU_URL", None, " (environment variable GPU_URL is not set)"),
        ("env.GPU_URL", " ", " (environment variable GPU_URL is empty)"),
    ],
)
def test_a_missing_url(url, value, message, monkeypatch):
    monkeypatch.delenv("GPU_URL", raising=False)
    if value is not None:
        monkeypatch.setenv("GPU_URL", value)
    key = Key(name="it's", url=url)
    for use in (resolve, lambda key: Fleet([key]).place("m")):
        with pytest.raises(MissingURLError) as error:
            use(key)
        assert str(error.value) == f"no base URL configured: set vllm_key_config.url on key 'it's'{message}"
        assert error.value.key_name == "it's"


def test_an_api_key_that_is_missing_is_an_error_and_one_that_is_blank_is_none(monkeypatch):
    key = Key(name="b", url=URL, api_key="env.GPU2_KEY")
    monkeypatch.delenv("GPU2_KEY", raising=False)
    with pytest.raises(
        ConfigError, match="environment variable GPU2_KEY for the api_key of key 'b' is not set: set it"
    ):
        resolve(key)
    monkeypatch.setenv("GPU2_KEY", "")
    assert resolve(key).api_key is None
    assert resolve(Key(name="b", url=URL, api_key=" ")).authorization is None


def test_authorization():
    assert resolve(Key(name="a", url=URL)).authorization is None
    assert resolve(Key(name="a", url=URL, api_key="k")).authorization == "Bearer k"
    basic = resolve(Key(name="a", url="http://me:p%40%C3%A9:x@host")).authorization
    assert basic.startswith("Basic ")
    assert b64decode(basic[6:]).decode() == "me:p@é:x"
    with pytest.raises(ConfigError, match="remove one of them"):
        resolve(Key(name="a", url="http://me:pw@host", api_key="k"))


def test_check_keys():
    a, b = Key(name="a"), Key(name="b")
    assert check_keys(iter([a, b])) == (a, b)
    for keys, message in [
        ([], "no keys"),
        ([a, b, a], "two keys are named 'a'"),
        ([{"name": "a"}], "not of dict"),
    ]:
        with pytest.raises(ConfigError, match=message):
            check_keys(keys)


# --- models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("vllm/a/b", "a/b"),
        ("a/b", "a/b"),
        ("vllm/vllm/a", "vllm/a"),
        ("VLLM/a", "VLLM/a"),
        ("vllm/", "vllm/"),
        ("", ""),
    ],
)
def test_split_prefix(model, name):
    assert split_prefix(model) == name


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("fast", "qwen"),
        ("vllm/fast", "qwen"),
        ("FAST", "qwen"),
        ("Big", "llama"),
        ("vllm/x", "x"),
        ("qwen", "qwen"),
    ],
)
def test_wire_model(model, name):
    assert wire_model(Key(name="a", aliases={"fast": "qwen", "vllm/big": "vllm/llama"}), model) == name


@pytest.mark.parametrize(
    ("fields", "model", "reason"),
    [
        ({}, "llama", None),
        ({"enabled": False}, "llama", "disabled"),
        ({"enabled": False}, None, "disabled"),
        ({"models": []}, "llama", "models [] do not allow it"),
        ({"models": []}, None, None),
        ({"models": ["LLaMA"]}, "vllm/llama", None),
        ({"models": ["vllm/llama"]}, "LLAMA", None),
        ({"models": ["qwen"]}, "llama", "models ['qwen'] do not allow it"),
        ({"models": list("abcdefg")}, "z", "models ['a', 'b', 'c', 'd', 'e', and 2 more] do not allow it"),
        ({"blacklisted_models": ["vllm/LLAMA"]}, "llama", "blacklisted_models ['vllm/LLAMA'] block it"),
        ({"models": ["llama"], "blacklisted_models": ["llama"]}, "llama", "blacklisted_models"),
        ({"blacklisted_models": ["*"]}, "llama", "blacklisted_models ['*'] block it"),
        ({"blacklisted_models": ["*"]}, None, None),
        ({"model_name": "llama"}, "vllm/llama", None),
        ({"model_name": "vllm/llama"}, "llama", None),
        ({"model_name": "llama"}, "Llama", "model_name is 'llama', which is not exactly 'Llama'"),
        ({"model_name": "llama"}, None, None),
        ({"model_name": "qwen", "aliases": {"fast": "qwen"}}, "fast", None),
        ({"model_name": "fast", "aliases": {"fast": "qwen"}}, "fast", "not exactly 'qwen'"),
        ({"models": ["qwen"], "aliases": {"fast": "qwen"}}, "fast", "(an alias must be in there itself)"),
        ({"models": ["fast"], "aliases": {"fast": "qwen"}}, "fast", None),
        ({"models": ["fast"], "aliases": {"fast": "qwen"}}, "qwen", "models ['fast'] do not allow it"),
        ({"blacklisted_models": ["qwen"], "aliases": {"fast": "qwen"}}, "fast", None),
    ],
)
def test_who_may_serve_what(fields, model, reason):
    key = Key(name="a", url=URL, **fields)
    if reason is None:
        assert candidates([key], model) == [key]
    else:
        with pytest.raises(NoKeyError) as error:
            candidates([key], model)
        assert reason in str(error.value)


def test_no_key_says_of_each_why():
    keys = [Key(name="a", enabled=False), Key(name="b", models=["qwen"]), Key(name="c", model_name="qwen")]
    with pytest.raises(NoKeyError) as error:
        candidates(keys, "vllm/llama")
    assert str(error.value) == (
        "no key supports the model 'llama':\n"
        "- key 'a': disabled (enabled is False)\n"
        "- key 'b': models ['qwen'] do not allow it\n"
        "- key 'c': model_name is 'qwen', which is not exactly 'llama'"
    )
    with pytest.raises(NoKeyError, match="no key can be used: no keys are configured"):
        candidates([], None)


def test_a_key_that_cannot_be_used_is_skipped_with_one_warning(caplog, monkeypatch):
    monkeypatch.delenv("NOPE", raising=False)
    good = Key(name="good", url=URL, weight=0)  # which is drawn after the others
    fleet = Fleet([Key(name="bad", url="env.NOPE"), Key(name="worse", url=URL, api_key="env.NOPE"), good])
    with caplog.at_level(logging.WARNING, "vllm_connect"):
        assert all(fleet.place("m").server == resolve(good) for _ in range(3))
    assert sorted(record.getMessage() for record in caplog.records) == [
        "skipping a key: environment variable NOPE for the api_key of key 'worse' is not set: "
        "set it, or take api_key off the key if none is needed",
        "skipping a key: no base URL configured: set vllm_key_config.url on key 'bad' "
        "(environment variable NOPE is not set)",
    ]


def test_keys_that_would_do_but_cannot_be_used_say_what_they_lack():
    other = Key(name="other", url=URL, models=["qwen"])
    with pytest.raises(MissingURLError) as error:
        Fleet([other, Key(name="a")]).place("llama")
    assert str(error.value) == "no base URL configured: set vllm_key_config.url on key 'a'"
    with pytest.raises(MissingURLError, match=r"on key '(a|b)'; no base URL configured: .* on key '(a|b)'"):
        Fleet([other, Key(name="a"), Key(name="b")]).place("llama")


# --- choice ----------------------------------------------------------------------------------------


def keys_of(*weights):
    return [Key(name=f"{index}", url=URL, weight=weight) for index, weight in enumerate(weights)]


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ((2, 1, 1), (0.5, 0.25, 0.25)),
        ((1, 0, 3), (0.25, 0, 0.75)),
        ((0, 0, 0), (1 / 3, 1 / 3, 1 / 3)),
        ((0.001, 0.003), (0.25, 0.75)),
        ((1e308, 1e308), (0.5, 0.5)),
        ((5e-324, 5e-324), (0.5, 0.5)),
        ((0,), (1,)),
    ],
)
def test_weights_are_respected(weights, shares):
    draw = random.Random(1).random
    keys = keys_of(*weights)
    drawn = Draw(keys)
    count = Counter(drawn(draw).name for _ in range(8000))
    for index, share in enumerate(shares):
        assert count[str(index)] / 8000 == pytest.approx(share, abs=0.02)
        assert share or not count[str(index)]


@given(st.lists(st.floats(0, 1e308), min_size=1, max_size=6), st.floats(0, 1, exclude_max=True))
def test_a_key_without_weight_is_a_spare(weights, drawn):
    keys = keys_of(*weights)
    key = Draw(keys)(lambda: drawn)
    assert key.weight or not any(other.weight for other in keys)


@given(
    st.lists(st.floats(0, 1e308), min_size=1, max_size=6),
    st.floats(0, 1, exclude_max=True),
    st.sets(st.integers(0, 5)),
)
def test_what_is_chosen_elsewhere_is_untried(weights, drawn, tried):
    keys = keys_of(*weights)
    tried = {str(index) for index in tried}
    placement = Fleet(keys, random=lambda: drawn).elsewhere("m", tried)
    untried = [other for other in keys if other.name not in tried]
    assert (placement is None) == (not untried)
    assert placement is None or placement.server.key in untried


def test_every_key_is_tried_before_any_is_tried_again():
    for seed in range(20):
        fleet, tried = Fleet(keys_of(5, 1, 0), random=random.Random(seed).random), []
        for _ in range(3):
            tried.append(fleet.elsewhere("m", tried).server.key.name)
        assert sorted(tried) == ["0", "1", "2"]
        assert tried[-1] == "2", "the spare comes last"
        assert fleet.elsewhere("m", tried) is None
        assert fleet.place("m").server.key.name in ("0", "1")


def test_only_keys_that_allow_the_model_are_chosen():
    fleet = Fleet([Key(name="a", url=URL, models=["x"], weight=100), Key(name="b", url=URL, models=["y"])])
    assert {fleet.place("y").server.key.name for _ in range(8)} == {"b"}
    assert fleet.elsewhere("y", []).server.key.name == "b"
    assert fleet.elsewhere("y", ["b"]) is None
    with pytest.raises(NoKeyError):
        fleet.place("z")
