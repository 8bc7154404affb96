"""A line that shows how far a run is: rows, rows and tokens a second, errors, time left. Needs tqdm."""

from __future__ import annotations

from time import monotonic
from typing import Any, Protocol

from ..types.bulk import Row


class Progress(Protocol):
    """Progress as it is told, row by row, in the order in which they end."""

    def add(self, row: Row[Any]) -> None:
        """Take a row."""

    def close(self) -> None:
        """Show nothing any more."""


class NoProgress:
    """Shows nothing."""

    def add(self, row: Row[Any]) -> None:
        """Take a row."""

    def close(self) -> None:
        """Show nothing any more."""


class Bar:
    """A tqdm bar.

    Args:
        total: how many rows there are; None if nobody knows.

    Raises:
        ImportError: tqdm is not installed.
    """

    def __init__(self, total: int | None) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise ImportError("progress=True needs tqdm: pip install tqdm") from None
        self._bar = tqdm(total=total, unit=" rows", smoothing=0.05)
        self._tokens = self._errors = 0
        self._began = monotonic()

    def add(self, row: Row[Any]) -> None:
        """Take a row."""
        usage = getattr(row.output, "usage", None)
        self._tokens += getattr(usage, "total_tokens", None) or 0
        self._errors += row.error is not None
        seconds = max(monotonic() - self._began, 1e-9)
        shown = {"tokens/s": round(self._tokens / seconds)} if self._tokens else {}
        self._bar.set_postfix(shown | ({"errors": self._errors} if self._errors else {}), refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Show nothing any more."""
        self._bar.close()


def progress_of(progress: bool, inputs: object) -> Progress:
    """Return what shows the progress.

    Args:
        progress: whether to show any.
        inputs: the rows; where they have a length, the bar tells the time left.
    """
    if not progress:
        return NoProgress()
    return Bar(len(inputs) if hasattr(inputs, "__len__") else None)
