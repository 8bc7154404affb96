"""The keys that may serve a request: enabled, and the lists and names of models on them allow the model.

All of it depends on nothing but its arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ..errors import NoKeyError
from .key import Key, fold, split_prefix, wire_model


def candidates(keys: Iterable[Key], model: str | None) -> list[Key]:
    """The keys that allow a model; ``None``, for calls without a model, skips the rules on models.

    Raises:
        NoKeyError: no key may serve the model; it says of each key why.
    """
    name = None if model is None else split_prefix(model)
    refusals = [(key, _refusal(key, name)) for key in keys]
    allowing = [key for key, refusal in refusals if refusal is None]
    if allowing:
        return allowing
    subject = "no key can be used" if name is None else f"no key supports the model '{name}'"
    reasons = "".join(f"\n- key '{key.name}': {refusal}" for key, refusal in refusals)
    raise NoKeyError(f"{subject}:{reasons or ' no keys are configured'}")


def named(keys: Iterable[Key], name: str) -> Key:
    """The key of that name.

    Raises:
        NoKeyError: there is none; the message lists those there are.
    """
    by_name = {key.name: key for key in keys}
    if name not in by_name:
        raise NoKeyError(f"no key is named '{name}'; there are {_listed(list(by_name))}")
    return by_name[name]


def allows(key: Key, model: str) -> bool:
    """Tell whether a key's allow and block lists let a model through."""
    return _holds(key.models, model) and not _holds(key.blacklisted_models, model)


def _refusal(key: Key, name: str | None) -> str | None:
    """Say why a key may not serve a model; None if it may."""
    if not key.enabled:
        return "disabled (enabled is False)"
    if name is None:
        return None
    if _holds(key.blacklisted_models, name):
        return f"blacklisted_models {_listed(key.blacklisted_models)} block it"
    served = wire_model(key, name)
    if not _holds(key.models, name):
        hint = " (an alias must be in there itself)" if served != name else ""
        return f"models {_listed(key.models)} do not allow it{hint}"
    if key.model_name is not None and served != split_prefix(key.model_name):
        return f"model_name is '{key.model_name}', which is not exactly '{served}'"
    return None


def _holds(names: Sequence[str], name: str) -> bool:
    folded = _folded(tuple(names))
    return "*" in folded or fold(name) in folded


@lru_cache(maxsize=1024)
def _folded(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(fold, names))


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - 5} more" if len(names) > 5 else ""
    return f"[{', '.join(map(repr, names[:5]))}{more}]"


@lru_cache(maxsize=256)  # so that each message is logged once, not once per request
def warn_once(message: str) -> None:
    logging.getLogger("vllm_connect").warning(message)
