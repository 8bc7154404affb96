"""Rows of `map`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Row(Generic[T]):
    """The result of one row of `map`.

    Attributes:
        index: the row's number, from 0, in the order of the inputs.
        input: what was given for it.
        output: the answer; None if there is an error.
        error: why there is no answer; None if there is one.
    """

    index: int
    input: object
    output: T | None
    error: Exception | None

    def result(self) -> T:
        """Return the answer.

        Raises:
            Exception: the row's error, if it has one.
        """
        if self.error is not None:
            raise self.error
        return self.output  # type: ignore[return-value]  # without an error there is one
