"""`ray.data`: many machines that read and write, and vLLM servers that answer.

    import ray
    from vllm_connect.ray import Map

    questions = ray.data.read_parquet("s3://bucket/questions")
    answers = questions.map_batches(
        Map,
        fn_constructor_args=("chat", "http://gpu1:8000"),
        fn_constructor_kwargs={"inputs": "question", "model": "llama", "temperature": 0},
        concurrency=1,
        batch_size=256,
    )

Tested with Ray 2.60. This module imports nothing of Ray.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ._bulk.answers import answer_reader
from ._bulk.columns import rows_of, with_columns
from ._bulk.open_run import OpenRun
from ._bulk.operations import call_of, method_of

if TYPE_CHECKING:
    from ._bulk.operations import Operation
    from ._client import AsyncVLLM

__all__ = ["Map"]

Batch = TypeVar("Batch")


class Map:
    """One operation on the rows of each batch, for `map_batches` of `ray.data`.

    Each actor has a client and finds how many requests its servers do best with, over all batches that Ray
    gives it at once (four, by default). One actor is enough until its CPU is busy.

    Args:
        operation: ``"chat"``, ``"completions"``, ``"embeddings"``, ``"rerank"``, ``"score"``, ``"classify"``
            or ``"tokenize"``; or any async function of an `AsyncVLLM` and the arguments of a row.
        client: the URL of a server, or an `AsyncVLLM` of any servers and settings, which travels to the
            actors pickled. Default: `VLLM_BASE_URL` where the actor runs.
        inputs: what a row asks for: the name of a column, which holds a text (chat, completions, embeddings,
            classify, tokenize) or a mapping of arguments; names of several columns, each of which is an
            argument of this name, as ``["query", "documents"]``; or a function of a row, as a dictionary of
            its columns, that returns a text or a mapping of arguments. Nulls are left out. Default:
            ``"prompt"``.
        answer: the column of answers. Null where there is none.
        error: the column of errors, each with the name of its class first. Empty where there is an answer, as
            in Ray's own, so that its type is the same in every block.
        read: what the column holds of a reply. Default: the text (chat, completions), the vector
            (embeddings), index and relevance score of each document (rerank), the scores (score), the label
            (classify), the ids (tokenize); whatever a function of your own returned.
        concurrency: requests at once, per actor. Default: what the servers do best with, found while they
            work; no more than the rows of the batches that are there at once.
        common: arguments of every row, such as `model` or `temperature`; a row's own win.

    Raises:
        ValueError: there is no such operation.
    """

    def __init__(
        self,
        operation: Operation | Callable[..., Awaitable[object]],
        client: AsyncVLLM | str | None = None,
        *,
        inputs: str | Sequence[str] | Callable[[dict[str, object]], object] = "prompt",
        answer: str = "answer",
        error: str = "error",
        read: Callable[..., object] | None = None,
        concurrency: int | None = None,
        **common: object,
    ) -> None:
        self._operation = operation
        self._client = client
        self._inputs = inputs
        self._columns = answer, error
        self._read = answer_reader(operation) if read is None else read
        self._concurrency = concurrency
        self._common = common
        self._run: OpenRun[object] | None = None
        if isinstance(operation, str):
            method_of(operation)  # what is wrong is said here and not for each row

    def __getstate__(self) -> dict[str, object]:
        """Pickle the settings; a copy opens connections of its own."""
        return self.__dict__ | {"_run": None}

    async def __call__(self, batch: Batch) -> Batch:
        """Return the batch with a column of answers and one of errors.

        Args:
            batch: a mapping from names to arrays or lists, a `pandas.DataFrame` or a `pyarrow.Table`; what is
                returned is of the same kind.

        Raises:
            KeyError: there is no such column.
        """
        names = [self._inputs] if isinstance(self._inputs, str) else self._inputs
        rows = rows_of(batch, None if callable(names) else names)
        if self._run is None:
            client = self._make_client()
            self._run = OpenRun(client, self._call(client), self._concurrency)
        results = await self._run.rows(rows)
        answer, error = self._columns
        errors = ["" if row.error is None else _named(row.error) for row in results]
        return with_columns(batch, {answer: [row.output for row in results], error: errors})

    def close(self) -> None:
        """Close the client. In Ray there is no need to: its connections end with the actor."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def _make_client(self) -> AsyncVLLM:
        from ._client import AsyncVLLM

        return self._client if isinstance(self._client, AsyncVLLM) else AsyncVLLM(self._client)

    def _call(self, client: AsyncVLLM) -> Callable[[object], Awaitable[object]]:
        operation = self._operation if isinstance(self._operation, str) else partial(self._operation, client)
        ask = call_of(client, operation, self._common)
        read, request = self._read, self._request

        async def call(row: object) -> object:
            return read(await ask(request(row)))

        return call

    def _request(self, row: object) -> object:
        columns: Mapping[str, object] = row  # type: ignore[assignment]  # as `rows_of` made it
        if callable(self._inputs):
            return self._inputs(dict(columns))
        return columns.get(self._inputs) if isinstance(self._inputs, str) else columns


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
