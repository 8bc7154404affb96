"""The vectors of one embedding model: finite numbers, of one width, made by one model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vllm_connect.adapters import beginning_of


class VectorSpace:
    """Checks that vectors may stand beside those before them; neither copied nor pickled with its owner."""

    def __init__(self) -> None:
        self._settings: object = None
        self._width: int | None = None
        self._model: str | None = None

    def __reduce__(self) -> tuple[type[VectorSpace], tuple[()]]:
        return VectorSpace, ()

    def check(
        self,
        vectors: Sequence[Sequence[float]],
        texts: Sequence[str],
        settings: object,
        model: str | None,
    ) -> None:
        """Check the vectors of a reply.

        Args:
            vectors: The vectors.
            texts: What they are the vectors of.
            settings: What the user set, which begins another space where it changes.
            model: Who made them, as the server says; None if the user named the model.

        Raises:
            ValueError: One is not finite, or of another width, or another model made them.
        """
        if settings != self._settings:
            self._settings, self._width, self._model = settings, None, None
        if model and model != (self._model or model):
            raise ValueError(
                f"several models are served: {self._model!r} embedded the texts before, {model!r} embedded "
                "these; set model_name="
            )
        for vector, text in zip(vectors, texts, strict=True):
            if not math.isfinite(sum(vector)):
                raise ValueError(
                    f"the vector of a text, which begins {beginning_of(text)}, is not finite (NaN)"
                )
            if len(vector) != (self._width or len(vector)):
                begin = beginning_of(text)
                raise ValueError(
                    f"the vector of a text, which begins {begin}, has {len(vector)} numbers, those before it "
                    f"{self._width}: let all servers serve one model, and set model_name="
                )
            self._width = len(vector)
        self._model = model or self._model
