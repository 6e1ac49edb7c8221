"""UG-ICM's own models."""

from __future__ import annotations

from collections.abc import Sequence

from ugicm_codec import Codec, inspect
from ugicm_codec.errors import BudgetTooSmall
from ugicm_evaluation.codecs.protocol import PictureCodec
from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.errors import BadCodec

__all__ = ["ModelCodec", "ModelSet", "open_models"]


def open_models(model: str | Sequence[str]) -> PictureCodec:
    """Open a model, or several as one codec; raises what both classes raise."""
    return ModelCodec(model) if isinstance(model, str) else ModelSet(model)


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


class ModelSet:
    """Models of one rate each as one codec, as the paper trains four: a quality is one's place."""

    suffix = ModelCodec.suffix

    def __init__(self, models: Sequence[str]) -> None:
        """Open them.

        Raises:
            ModelError: one is unknown or damaged.
            BadCodec: two have the same latents, so that a stream does not tell which is its.
        """
        self._models = [ModelCodec(model) for model in models]
        self._by_latents = {one.info.latents_id: one for one in self._models}
        if len(self._by_latents) < len(self._models):
            names = ", ".join(one.name for one in self._models)
            raise BadCodec(f"of {names}, two code the same latents: each needs a rate of its own")
        self.name = ", ".join(one.name for one in self._models)
        self.identity = "; ".join(one.identity for one in self._models)

    def encode(self, picture: Picture, quality: int) -> bytes:
        return self._models[quality].encode(picture, 50)  # a model of one rate has no other

    def decode(self, data: bytes, views: Sequence[float]) -> list[Picture]:
        return self._by_latents[inspect(data).latents_id].decode(data, views)
