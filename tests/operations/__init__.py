"""What every operation does with a real vLLM server: one set of test bodies, run twice.

`tests/live` runs them against servers on this machine, `tests/recorded` against what those servers
answered when `scripts/record.py` last recorded them; each with the sync and the async client. A body is a
method of a `Test…` class, takes a client by the name of its server (see `fixtures`) and says with `covers`
which operations it is about; `tests/recorded/test_completeness.py` fails when one is missing somewhere.

What the tiny models answer at temperature 0 is exact: see `scripts/live`, which serves them.
"""

import importlib
import pkgutil

import pytest

MODULES = [f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)]
pytest.register_assert_rewrite(*MODULES)


def bodies() -> dict[str, type]:
    """Every `Test…` class of this package, by name."""
    found: dict[str, type] = {}
    for module in map(importlib.import_module, MODULES):
        for name, thing in vars(module).items():
            if name.startswith("Test") and thing.__module__ == module.__name__:
                assert name not in found, f"two classes are called {name}"
                found[name] = thing
    return found
