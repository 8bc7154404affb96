"""Embeddings; vectors are lists of floats, or rows of a numpy array."""

from typing import TYPE_CHECKING, Any

from openai.types import create_embedding_response, embedding
from pydantic import PrivateAttr, SkipValidation

from ._extras import Extra, stands_in

if TYPE_CHECKING:
    import numpy as np


@stands_in
class Embedding(embedding.Embedding):
    """One embedding; its numbers were checked when they were read."""

    embedding: SkipValidation[list[float]]


@stands_in
class EmbeddingResponse(create_embedding_response.CreateEmbeddingResponse):
    """One embedding per input, in the order of the input.

    Attributes:
        data: the embeddings; with `as_numpy=True` each `embedding` is a row of `array`.
        usage: token counts; zero when the server sends none (``encoding_format="bytes_only"``).
    """

    id = Extra[str | None](None)
    created = Extra[int | None](None)
    data: list[Embedding]  # type: ignore[assignment]  # vLLM's own values
    _array: Any = PrivateAttr(default=None)

    @property
    def array(self) -> "np.ndarray[Any, Any]":
        """All vectors as one array of shape (inputs, dimensions); needs the `[numpy]` extra."""
        if self._array is None:
            import numpy as np

            self._array = np.array([item.embedding for item in self.data], dtype=np.float32)
        return self._array  # type: ignore[no-any-return]  # numpy's, if it is there
