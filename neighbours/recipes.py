"""The code of `docs/recipes.md`, run as a reader would run it.

A comment `<!-- run: MODULE -->` before a block of Python names the file of `tools/` in whose environment it
runs. The server and the model that the page names are put in place of the simulator's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .scenario import MODEL, maker_of, trace_of

if TYPE_CHECKING:
    from vllm_connect.sim import SimServer

PAGE = Path(__file__).parent.parent / "docs" / "recipes.md"
SERVER = "http://localhost:8000"
MODEL_ON_PAGE = '"llama"'
_BLOCK = re.compile(r"<!-- run: (\w+) -->\n+```python\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, int, str]]:
    """Return module, line and code of every block of the page that runs."""
    page = PAGE.read_text(encoding="utf-8")
    return [(each[1], page.count("\n", 0, each.start(2)) + 1, each[2]) for each in _BLOCK.finditer(page)]


def run_all(module: str, sim: SimServer) -> list[dict[str, Any]]:
    """Run a tool's blocks; return for each its line and, where it failed, the error."""
    outcomes: list[dict[str, Any]] = []
    for owner, line, code in blocks():
        if owner != module:
            continue
        sim.reset()
        code = code.replace(SERVER, sim.url).replace(MODEL_ON_PAGE, f'"{MODEL}"')
        try:
            exec(compile("\n" * (line - 1) + code, str(PAGE), "exec"), {"__name__": "__main__"})
            if not sim.requests:
                raise AssertionError("no request reached the server")
            if any(maker_of(request.headers) == "stock" for request in sim.requests):
                raise AssertionError("the tool used a client of its own")
            outcomes.append({"line": line})
        except Exception as error:  # noqa: BLE001  # reported by the bed
            outcomes.append({"line": line, "error": trace_of(error)})
    return outcomes
