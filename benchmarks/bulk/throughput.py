"""Throughput of `map` on two real vLLM servers, beside the best that `vllm bench serve` finds.

    python3 -m scripts.live run --only=chat --only=twin -- .venv/bin/python -m benchmarks.bulk.throughput

`vllm bench serve` knows one server and fixed concurrencies. So two of it run at once, one for each server,
with the same requests as ours, over a sweep of concurrencies; the sums of their throughputs are compared. It
always streams the answers. `map` runs once as one would use it and once streaming, too, with one client for
both servers and a level that it finds itself, from its start on. Rounds take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import monotonic
from typing import IO, Any

from scripts.live.environment import PYTHON
from scripts.live.models import MODELS
from scripts.live.servers import ENVIRONMENT, SERVERS

from vllm_connect import AsyncVLLM, Key

from .. import pages
from ..machine import caption, machine

MODEL = "tiny-chat"
SERVERS_USED = ("chat", "twin")
SWEEP = (2, 4, 8, 16, 32)
TOKENS = 16
"""Tokens of every answer; the end of the text does not end it sooner."""
LEAST, MOST, WARM_UP = 48, 2000, 48
"""Requests per server and measurement."""
ABOUT = (
    "Throughput on two vLLM servers on one machine's CPU, beside the best that `vllm bench serve` finds for "
    "the same requests. It knows one server only, so that two of it run at once and their sum counts; it "
    "always streams."
)
NAME = "bulk_throughput"
_WORDS = [
    "amber",
    "bridge",
    "cloud",
    "desert",
    "engine",
    "forest",
    "garden",
    "harbour",
    "island",
    "jungle",
    "kettle",
    "lantern",
    "meadow",
]


def prompts(count: int) -> list[str]:
    """Return prompts of about the same length, of which no two begin alike."""
    return [
        f"{number}: tell me about "
        + " and ".join(_WORDS[(number + place) % len(_WORDS)] for place in range(4))
        for number in range(count)
    ]


class VLLMBench:
    """`vllm bench serve` against one server, in a process that stays.

    Args:
        url: of the server.
        dataset: the prompts, in the form of ShareGPT.
        log: where what it prints goes.
    """

    def __init__(self, url: str, dataset: Path, log: IO[str]) -> None:
        self._arguments = (
            f"--backend openai-chat --base-url {url} --endpoint /v1/chat/completions --model {MODEL}"
            f" --tokenizer {MODELS / MODEL} --dataset-name sharegpt --dataset-path {dataset}"
            f" --sharegpt-output-len {TOKENS} --ignore-eos --temperature 0 --disable-tqdm --seed 0"
        ).split()
        self._process = subprocess.Popen(
            [str(PYTHON), "-I", str(Path(__file__).with_name("vllm_bench.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | ENVIRONMENT,
        )

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def wait(self) -> None:
        """Return when it is ready to measure."""
        self._read("READY")

    def begin(self, count: int, concurrency: int) -> None:
        """Let it send so many of the prompts."""
        assert self._process.stdin is not None
        more = ["--num-prompts", str(count), "--max-concurrency", str(concurrency)]
        print(json.dumps(self._arguments + more), file=self._process.stdin, flush=True)

    def end(self) -> dict[str, Any]:
        """Return the result of what was begun."""
        result: dict[str, Any] = json.loads(self._read("RESULT"))
        return result

    def _read(self, mark: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(mark):
                return line.removeprefix(mark)
        raise RuntimeError(f"vllm bench serve ended with code {self._process.wait()}")


@contextmanager
def benches(urls: Sequence[str], asked: list[str]) -> Iterator[list[VLLMBench]]:
    """Start `vllm bench serve` for each server, with the same prompts; show what it prints if it fails."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        dataset = folder / "prompts.json"
        turns = [[{"value": prompt}, {"value": "An answer of some length."}] for prompt in asked]
        dataset.write_text(json.dumps([{"conversations": each} for each in turns]))
        log = stack.enter_context((folder / "log").open("w+"))
        try:
            started = [VLLMBench(url, dataset, log) for url in urls]
            for bench in started:
                stack.callback(bench.close)
                bench.wait()
            yield started
        except RuntimeError:
            log.seek(0)
            sys.stderr.write(log.read()[-3000:])
            raise


def their_throughput(started: list[VLLMBench], count: int, concurrency: int) -> float:
    """Requests a second of all servers together; `count` requests and `concurrency` for each of them."""
    for bench in started:
        bench.begin(count, concurrency)
    results = [bench.end() for bench in started]
    for result in results:
        if result["completed"] != count:
            raise RuntimeError(f"vllm bench serve completed {result['completed']} of {count} requests")
    return sum(float(result["request_throughput"]) for result in results)


async def our_throughput(client: AsyncVLLM, asked: list[str], *, stream: bool) -> float:
    """Requests a second of `map`."""

    async def streamed(prompt: str, **arguments: Any) -> int:
        chunks = await create(messages=[{"role": "user", "content": prompt}], stream=True, **arguments)
        return sum([1 async for _ in chunks])

    create: Any = client.chat.completions.create  # which of its overloads, mypy cannot tell
    arguments: dict[str, Any] = {"model": MODEL, "temperature": 0, "max_tokens": TOKENS, "ignore_eos": True}
    began = monotonic()
    rows: AsyncIterator[Any]
    if stream:
        rows = client.map(streamed, [{"prompt": prompt} for prompt in asked], ordered=False, **arguments)
    else:
        rows = client.map("chat", asked, ordered=False, **arguments)
    async for row in rows:
        row.result()
    return len(asked) / (monotonic() - began)


async def compare(urls: Sequence[str], seconds: float, rounds: int) -> dict[str, Any]:
    """Measure all; requests a second.

    Args:
        urls: the servers.
        seconds: that a measurement takes, about.
        rounds: after the sweep, of the best concurrency and of ours.
    """
    asked = prompts(MOST * len(urls))
    keys = [Key(name=f"server {place}", url=url) for place, url in enumerate(urls, 1)]
    with benches(urls, asked) as started:
        async with AsyncVLLM(keys=keys) as client:

            async def theirs(count: int, concurrency: int) -> float:
                return await asyncio.to_thread(their_throughput, started, count, concurrency)

            await theirs(WARM_UP, 8)
            await our_throughput(client, asked[:WARM_UP], stream=False)
            rate = await theirs(WARM_UP, 16)
            count = max(LEAST, min(MOST, round(rate * seconds / len(urls))))
            sweep = {concurrency: await theirs(count, concurrency) for concurrency in SWEEP}
            best = max(sweep, key=lambda concurrency: sweep[concurrency])
            asked = asked[: count * len(urls)]
            measured: dict[str, list[float]] = {"vllm bench serve": [], "map": [], "map, streaming": []}
            for _ in range(rounds):
                measured["vllm bench serve"].append(await theirs(count, best))
                measured["map, streaming"].append(await our_throughput(client, asked, stream=True))
                measured["map"].append(await our_throughput(client, asked, stream=False))
    return {"sweep": sweep, "best": best, "requests": len(asked), "measured": measured}


def table(result: dict[str, Any]) -> str:
    """The result, for the documentation."""
    theirs = max(median(result["measured"]["vllm bench serve"]), *result["sweep"].values())
    lines = ["| | requests a second | beside the best |", "|---|---|---|"]
    lines += [
        f"| `vllm bench serve`, {concurrency} at once per server | {rate:.1f} | {rate / theirs:.2f} |"
        for concurrency, rate in result["sweep"].items()
    ]
    rates = {name: median(values) for name, values in result["measured"].items()}
    lines.append(
        f"| the same, {result['best']} at once, between ours | {rates['vllm bench serve']:.1f} "
        f"| {rates['vllm bench serve'] / theirs:.2f} |"
    )
    for name in ("map, streaming", "map"):
        lines.append(f"| `map`{name[3:]} | {rates[name]:.1f} | {rates[name] / theirs:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bulk.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=float, default=10, help="of each measurement (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="keep the result, and write docs/bulk.md anew")
    arguments = parser.parse_args()
    variables = [f"VLLM_LIVE_{name.upper()}_URL" for name in SERVERS_USED]
    urls = [os.environ[name] for name in variables if name in os.environ]
    if len(urls) < len(variables):
        parser.error(f"{' and '.join(variables)} name the servers; see above how to start them")
    result = asyncio.run(compare(urls, arguments.seconds, arguments.rounds))
    result["machine"] = machine("openai", "vllm-connect", vllm=_version(urls[0]))
    result["servers"] = {name: SERVERS[name].flags for name in SERVERS_USED}
    about = f"{result['requests']} requests of {TOKENS} tokens a measurement, two servers"
    text = f"{caption(result['machine'])}; {about}\n\n{table(result)}"
    print(text)
    if arguments.write:
        pages.keep(NAME, result)
        pages.write("bulk.md", NAME, f"{ABOUT}\n\n{text}")


def _version(url: str) -> str:
    from vllm_connect import VLLM

    with VLLM(url) as client:
        return str(client.server.version())


if __name__ == "__main__":
    main()
