"""References to the environment, and URLs without their secrets."""

from __future__ import annotations

import pytest

from vllm_connect import ConfigError, Key
from vllm_connect._keys.key import saved_key
from vllm_connect._keys.references import masked, public_secret, public_url, variable_of

URLS = {
    "http://user:SECRET@host:8000/v1": ("http://***@host:8000/v1", "http://host:8000/v1"),
    "http://user:pa/SECRET@host": ("http://***@host", "http://host"),
    "http://user:pa?SECRET@host": ("http://***@host", "http://host"),
    "http://user:pa#SECRET@host": ("http://***@host", "http://host"),
    "http://user:pa@SECRET@host": ("http://***@host", "http://host"),
    "http://user:pa\nSECRET@host": ("http://***@host", "http://host"),
    "https://SECRET@[::1]:8000/team": ("https://***@[::1]:8000/team", "https://[::1]:8000/team"),
    "user:SECRET@host:8000": ("***@host:8000", "host:8000"),
    "//user:SECRET@host": ("***@host", "host"),
    "ftp://user:SECRET@host": ("ftp://***@host", "ftp://host"),
    "http://host/v1?token=SECRET": ("http://host/v1?***", "http://host/v1"),
    "http://host/v1#SECRET": ("http://host/v1?***", "http://host/v1"),
    "http://host:8000/team/v1": ("http://host:8000/team/v1",) * 2,
    "http://[::1]:8000": ("http://[::1]:8000",) * 2,
    "env.GPU_URL": ("env.GPU_URL",) * 2,
}


@pytest.mark.parametrize(("url", "expected"), URLS.items())
def test_urls_without_secrets(url: str, expected: tuple[str, str]) -> None:
    assert (masked(url), public_url(url)) == expected


@pytest.mark.parametrize(
    ("value", "variable"),
    [("env.NAME", "NAME"), ("env.a.b-c", "a.b-c"), ("env.", None), ("env.a b", None), ("env.a=b", None)]
    + [(value, None) for value in ("", "sk-1", "environment", "ENV.NAME", " env.NAME", None)],
)
def test_one_answer_to_what_is_a_reference(value: str | None, variable: str | None) -> None:
    assert variable_of(value) == variable
    assert public_secret(value) == (value if variable else None)


@pytest.mark.parametrize("field", ["url", "api_key"])
@pytest.mark.parametrize("value", ["env.", "env.SECRET b", "env.SECRET=b"])
def test_a_reference_to_what_no_variable_is_called(field: str, value: str) -> None:
    with pytest.raises(ConfigError, match="must name an environment variable") as caught:
        Key(name="a", **{field: value})
    assert "SECRET" not in str(caught.value)


def test_a_saved_key_makes_the_same_key_again_without_its_secrets() -> None:
    key = Key(
        name="a",
        url="https://user:SECRET@host/team",
        models=["m"],
        blacklisted_models=["n"],
        model_name="m",
        weight=2,
        aliases={"x": "m"},
        enabled=False,
    )
    saved = saved_key(key)
    assert "SECRET" not in str(saved)
    assert Key(**saved) == Key(**{**saved, "url": "https://host/team"})  # type: ignore[arg-type]
    assert saved_key(Key(name="a", api_key="SECRET")) == {"name": "a"}
    assert saved_key(Key(name="a", api_key="env.KEY")) == {"name": "a", "api_key": "env.KEY"}
    assert saved_key(Key(name="a", models=[])) == {"name": "a", "models": []}
