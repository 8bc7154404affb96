"""How long a client waits: which values can be right."""

from __future__ import annotations

import math

import pytest

from vllm_connect import ConfigError
from vllm_connect._keys.policy import DEFAULT, Policy


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("retry_backoff_initial", 0),
        ("retry_backoff_max", -1.0),
        ("stream_idle_timeout", "60"),
        ("cooldown", math.inf),
        ("cooldown", math.nan),
        ("cooldown", None),
        ("cooldown", True),
        ("sticky_limit", 1.5),
        ("sticky_limit", 0),
    ],
)
def test_values_that_cannot_be_right(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"policy: {field} must be .* above 0, not"):
        Policy(**{field: value})  # type: ignore[arg-type]


def test_policies_are_equal_by_their_values() -> None:
    assert Policy() == DEFAULT
    assert Policy(cooldown=1) == DEFAULT
    assert Policy(cooldown=2) != DEFAULT
    assert len({Policy(), DEFAULT}) == 1
