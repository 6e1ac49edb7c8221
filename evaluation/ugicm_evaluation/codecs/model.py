"""UG-ICM's own models."""

from __future__ import annotations

from collections.abc import Sequence

from ugicm_codec import Codec
from ugicm_codec.errors import BudgetTooSmall
from ugicm_evaluation.datasets.protocol import Picture

__all__ = ["ModelCodec"]


class ModelCodec:
    """A bundled model by name or a model file by path, on the CPU."""

    suffix = ".ugi"

    def __init__(self, model: str) -> None:
        """Raise ``ModelError`` where the model is unknown or damaged."""
        self._codec = Codec.load(model)
        self.info = self._codec.model
        self.name = self.info.name
        self.identity = f"{self.info.sha256} {self._codec.precision}"

    def encode(self, picture: Picture, quality: int) -> bytes:
        return self._codec.encode(picture, quality)

    def encode_within(self, picture: Picture, max_bytes: int) -> bytes:
        """Return the best stream of at most so many bytes, or the smallest there is."""
        try:
            return self._codec.encode(picture, max_bytes=max_bytes)
        except BudgetTooSmall:
            return self._codec.encode(picture, 0)

    def decode(self, data: bytes, views: Sequence[float]) -> list[Picture]:
        return self._codec.decode_views(data, views)
