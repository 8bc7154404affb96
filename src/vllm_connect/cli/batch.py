"""`vllm-connect batch`: a file of requests in, a file of answers out, and on again whatever happened."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import IO, Any

from .._bulk.batch_calls import batch_call
from .._bulk.batch_file import Journal, custom_id_of, error_line, read_request
from .._client import AsyncVLLM
from .._keys.key import Key
from ..errors import ConfigError

#: Exit codes, besides 2 for wrong usage.
ANSWERED, FAILED = 0, 1


@dataclass
class Summary:
    """The summary of a run.

    Attributes:
        answered: lines that got an answer, in this run.
        failed: lines that got an error, in this run.
        skipped: lines that an earlier run had done.
        seconds: how long this run took.
        output: where the lines are.
    """

    output: str
    answered: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """The code that the command ends with."""
        return FAILED if self.failed else ANSWERED

    def as_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return asdict(self) | {"exit_code": self.exit_code}


def make_client(
    urls: Sequence[str],
    config: str | None,
    api_key: str | None,
    timeout: float | None,
    max_retries: int | None,
) -> AsyncVLLM:
    """Make the client of one server, several, or those of a configuration.

    Raises:
        ConfigError: there is none, or they cannot work.
    """
    options: dict[str, Any] = {"timeout": timeout, "max_retries": max_retries}
    options = {name: value for name, value in options.items() if value is not None}
    if config is not None:
        return AsyncVLLM.from_config(config, **options)
    if len(urls) > 1:
        keys = [Key(name=f"server {place}", url=url, api_key=api_key) for place, url in enumerate(urls, 1)]
        return AsyncVLLM(keys=keys, **options)
    return AsyncVLLM(*urls, api_key=api_key, **options)


def run_batch(
    client: AsyncVLLM,
    source: str,
    target: str,
    *,
    resume: bool,
    concurrency: int | None = None,
    progress: bool = False,
) -> Summary:
    """Answer the requests of a file.

    Args:
        client: whom to ask; closed in the end.
        source: a path, ``-`` for standard input, or a URL that fsspec knows.
        target: a path, or such a URL; answers go to a file in the working directory first where it is one.
        resume: go on with an output that is there.
        concurrency: requests at once; None for what the servers do best with.
        progress: whether to show a bar.

    Raises:
        ConfigError: there is an output already, or it is of another input.
        OSError: a file cannot be read or written.
    """
    local = Path(PurePosixPath(target).name) if "://" in target else Path(target)
    journal = Journal()
    if local.exists():
        if not resume:
            raise ConfigError(f"{local} exists: go on with --resume, or name another output")
        with local.open("rb") as lines:
            try:
                journal.read(lines)
            except ValueError as error:
                raise ConfigError(f"{local}: {error}") from None
    summary = Summary(target)
    began = monotonic()
    with _opened(source, "rb") as lines, local.open("ab") as output:
        output.truncate(journal.end)  # a line that was being written when the last run ended
        _run(_answer(client, lines, output, journal, summary, concurrency, progress))
    if "://" in target:
        with local.open("rb") as written, _opened(target, "wb") as copy:
            while block := written.read(1 << 20):
                copy.write(block)
    summary.seconds = monotonic() - began
    return summary


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine, which Ctrl-C cancels.

    Since Python 3.11 asyncio does so itself; before, the interrupt hits whatever task is running just then,
    and asyncio shows its traceback.
    """

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        with suppress(NotImplementedError):  # on Windows
            loop.add_signal_handler(signal.SIGINT, task.cancel)
        await work

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _answer(
    client: AsyncVLLM,
    lines: IO[bytes],
    output: IO[bytes],
    journal: Journal,
    summary: Summary,
    concurrency: int | None,
    progress: bool,
) -> None:
    ask = batch_call(client)

    async def answer(number: int, line: bytes) -> bytes:
        return await ask(read_request(number, line))

    def rows_left() -> Iterator[dict[str, object]]:
        for number, line in enumerate(lines):
            if not line.strip():
                continue
            if journal.has(number, line):
                summary.skipped += 1
            else:
                yield {"number": number, "line": line}

    async with client:
        rows = client.map(answer, rows_left(), ordered=False, concurrency=concurrency, progress=progress)
        async for row in rows:
            if row.error is None:
                summary.answered += 1
                written = row.result()
            else:
                summary.failed += 1
                given: Any = row.input
                written = error_line(given["number"], custom_id_of(given["line"]), row.error)
            output.write(written)
            output.flush()  # what is written survives the end of this process


def _opened(path: str, mode: str) -> AbstractContextManager[IO[bytes]]:
    if path == "-":
        return os.fdopen(os.dup(sys.stdin.fileno()), mode)
    if "://" not in path:
        return open(path, mode)  # whoever asked closes it
    try:
        import fsspec
    except ImportError:
        raise ConfigError(f"{path} needs fsspec: pip install fsspec, and what its scheme wants") from None
    opened: Callable[..., AbstractContextManager[IO[bytes]]] = fsspec.open
    return opened(path, mode)
