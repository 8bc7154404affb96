"""Embeddings; vectors are lists of floats, or rows of a numpy array.

A model with a vector for each token gives a matrix for each input: a list of lists, or an array of its own.
"""

from typing import TYPE_CHECKING, Any

from openai.types import create_embedding_response, embedding
from pydantic import PrivateAttr, SkipValidation
from typing_extensions import TypedDict

from ._extras import Extra, stands_in

if TYPE_CHECKING:
    import numpy as np


class LateChunk(TypedDict):
    """One chunk of a text: the place of its tokens, and of its characters if it has any.

    Both are `[start, end]`, the end excluded.
    """

    token_range: list[int]
    char_range: list[int] | None


class LateChunking(TypedDict):
    """The chunks of one text that was embedded as a whole: one for each row of its matrix (vLLM >= 0.33)."""

    chunk_size: int
    input_tokens: int
    chunks: list[LateChunk]


@stands_in
class Embedding(embedding.Embedding):
    """One embedding; its numbers were checked when they were read.

    Attributes:
        embedding: a vector, a list of floats or a row of an array. Of a model with a vector for each token
            (vLLM >= 0.33) a matrix instead: a list of lists, or an array of shape (tokens, dimensions).
        late_chunking: what each row of the matrix stands for, where `late_chunking_params` asked for chunks.
    """

    if TYPE_CHECKING:  # as nearly all models have it
        embedding: list[float]
    else:
        embedding: SkipValidation[list[float] | list[list[float]]]
    late_chunking = Extra[LateChunking | None](None)


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
        """All vectors as one array of shape (inputs, dimensions); needs the `[numpy]` extra.

        Raises:
            ValueError: there is a matrix for each input.
        """
        if self._array is None:
            import numpy as np

            if any(np.ndim(item.embedding) != 1 for item in self.data[:1]):
                raise ValueError("the model gives a matrix for each input: see data[…].embedding")
            self._array = np.array([item.embedding for item in self.data], dtype=np.float32)
        return self._array  # type: ignore[no-any-return]  # numpy's, if it is there
