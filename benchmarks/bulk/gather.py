"""CPU time of a row in `map`, beside `asyncio.gather` over the stock SDK: `python -m benchmarks.bulk.gather`.

The usual way is a task for each row and a semaphore that lets so many at once go on. Both sides send the same
rows to a server of canned replies in another process, with the same concurrency, and take turns.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import openai

from vllm_connect import AsyncVLLM

from .. import pages
from ..machine import caption, machine
from ..scenarios import AIOHTTP, OURS, STOCK, Row, Scenario, Sides, measured
from ..server import running

ROWS, CONCURRENCY = 1000, 64
NAME = "bulk_gather"


async def _gathered(make: Callable[[], Any]) -> None:
    semaphore = asyncio.Semaphore(CONCURRENCY)

    async def ask(client: Any, number: int) -> str:
        async with semaphore:
            message = {"role": "user", "content": f"Row {number}"}
            reply = await client.chat.completions.create(model="reply", messages=[message])
            return str(reply.choices[0].message.content)

    async with make() as client:
        texts = await asyncio.gather(*(ask(client, number) for number in range(ROWS)))
    assert all(texts)


async def _mapped(make: Callable[[], AsyncVLLM]) -> None:
    inputs = (f"Row {number}" for number in range(ROWS))
    async with make() as client:
        async for row in client.map("chat", inputs, model="reply", concurrency=CONCURRENCY):
            assert row.result().choices[0].message.content


def _cost(run: Callable[[], Coroutine[Any, Any, None]]) -> float:
    return measured(lambda: asyncio.run(run()), ROWS) * 1e3


def compare(url: str, rounds: int) -> list[Row]:
    """Milliseconds of CPU time per row."""
    stock: dict[str, Any] = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0}

    def on_aiohttp() -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(**stock, http_client=openai.DefaultAioHttpClient())

    sides: Sides = {STOCK: partial(_cost, partial(_gathered, partial(openai.AsyncOpenAI, **stock)))}
    try:
        import aiohttp  # noqa: F401  # what the SDK's own faster transport wants
    except ImportError:
        pass
    else:
        sides[AIOHTTP] = partial(_cost, partial(_gathered, on_aiohttp))
    sides[OURS] = partial(_cost, partial(_mapped, partial(AsyncVLLM, url)))
    return Scenario("a row", "ms", None, sides).run(rounds)


def table(rows: list[Row]) -> str:
    """The result, for the documentation."""
    lines = ["| | CPU a row | beside `map` |", "|---|---|---|"]
    lines += [f"| `gather`, {row.against} | {row.theirs:.2f} ms | {row.ratio:.1f}× |" for row in rows]
    return "\n".join([*lines, f"| `map` | {rows[0].ours:.2f} ms | |"])


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk.gather", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="keep the result, and write docs/bulk.md anew")
    arguments = parser.parse_args()
    with running() as url:
        rows = compare(url, arguments.rounds)
    made = machine("openai", "vllm-connect")
    text = f"{caption(made)}; {ROWS} rows, {CONCURRENCY} at once\n\n{table(rows)}"
    print(text)
    if arguments.write:
        pages.keep(NAME, {"machine": made, "rows": [row._asdict() for row in rows]})
        pages.write("bulk.md", NAME, text)


if __name__ == "__main__":
    main()
