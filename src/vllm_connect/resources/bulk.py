"""`map`: one operation on many rows, as many at once as the servers do well with."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from .._bulk.mapping import Run
    from .._bulk.operations import Operation
    from ..types import Row, ServerStatus

T = TypeVar("T")


def _run(
    servers: Callable[[], Sequence[ServerStatus]],
    inputs: object,
    ordered: bool,
    concurrency: int | None,
    progress: bool,
) -> Run[Any]:
    if concurrency is not None and (isinstance(concurrency, bool) or not isinstance(concurrency, int)):
        raise TypeError(f"map: concurrency must be a whole number, not {type(concurrency).__name__}")
    if concurrency is not None and concurrency < 1:
        raise ValueError(f"map: concurrency must be at least 1, not {concurrency}")
    if isinstance(inputs, (str, bytes)):
        raise TypeError("map: inputs is one text; pass a list of them")
    from .._bulk.level import Level
    from .._bulk.mapping import Run
    from .._bulk.overload import Overload
    from .._bulk.progress import progress_of

    level = Level(len(servers()), fixed=concurrency)
    overload = Overload(servers, monotonic())
    return Run(level, overload, progress_of(progress, inputs), ordered=ordered)


class Bulk:
    """Operations of a sync client on many rows."""

    servers: Callable[[], list[ServerStatus]]

    @overload
    def map(
        self,
        operation: Callable[..., T],
        inputs: Iterable[object],
        *,
        ordered: bool = True,
        concurrency: int | None = None,
        progress: bool = False,
        **common: Any,
    ) -> Iterator[Row[T]]: ...

    @overload
    def map(
        self,
        operation: Operation,
        inputs: Iterable[object],
        *,
        ordered: bool = True,
        concurrency: int | None = None,
        progress: bool = False,
        **common: Any,
    ) -> Iterator[Row[Any]]: ...

    def map(
        self,
        operation: str | Callable[..., Any],
        inputs: Iterable[object],
        *,
        ordered: bool = True,
        concurrency: int | None = None,
        progress: bool = False,
        **common: Any,
    ) -> Iterator[Row[Any]]:
        """Make one call for each input, many at once, in threads.

        Args:
            operation: ``"chat"``, ``"completions"``, ``"embeddings"``, ``"rerank"``, ``"score"``,
                ``"classify"`` or ``"tokenize"``; or a method of this client, such as
                ``client.chat.completions.parse``, or any function that takes a row's arguments.
            inputs: any iterable, read no further ahead than requests run. A row is a mapping of arguments;
                for chat (a user's message), completions, embeddings, classify and tokenize a text will do.
            ordered: whether rows come in the order of the inputs (default), or as they end.
            concurrency: requests at once. Default: what the servers do best with, found while they work; at
                the most 512 a server.
            progress: show a bar; needs tqdm.
            common: arguments of every row, such as `model` or `temperature`; a row's own win.

        Returns:
            An iterator of `Row`, which holds the answer or the error of its row. Memory does not grow with
            the number of rows. No further request is begun once it is closed.

        Raises:
            ValueError: there is no such operation, or `concurrency` is below 1.
        """
        from .._bulk.mapping import map_rows
        from .._bulk.operations import call_of

        run = _run(self.servers, inputs, ordered, concurrency, progress)
        return map_rows(call_of(self, operation, common), inputs, run)


class AsyncBulk:
    """Operations of an async client on many rows."""

    servers: Callable[[], list[ServerStatus]]

    @overload
    def map(
        self,
        operation: Callable[..., Awaitable[T]],
        inputs: Iterable[object] | AsyncIterable[object],
        *,
        ordered: bool = True,
        concurrency: int | None = None,
        progress: bool = False,
        **common: Any,
    ) -> AsyncIterator[Row[T]]: ...

    @overload
    def map(
        self,
        operation: Operation,
        inputs: Iterable[object] | AsyncIterable[object],
        *,
        ordered: bool = True,
        concurrency: int | None = None,
        progress: bool = False,
        **common: Any,
    ) -> AsyncIterator[Row[Any]]: ...

    def map(
        self,
        operation: str | Callable[..., Any],
        inputs: Iterable[object] | AsyncIterable[object],
        *,
        ordered: bool = True,
        concurrency: int | None = None,
        progress: bool = False,
        **common: Any,
    ) -> AsyncIterator[Row[Any]]:
        """Make one call for each input, many at once, in tasks of asyncio; see `Bulk.map`.

        `inputs` may be asynchronous, too. Requests that run are cancelled once the iterator is closed.
        """
        from .._bulk.mapping import amap_rows
        from .._bulk.operations import call_of

        run = _run(self.servers, inputs, ordered, concurrency, progress)
        return amap_rows(call_of(self, operation, common), inputs, run)
