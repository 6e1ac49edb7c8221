"""The codecs that Pillow brings."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, features

from ugicm_evaluation.datasets.protocol import Picture

__all__ = ["JPEG", "WEBP", "PillowCodec"]


@dataclass(frozen=True)
class PillowCodec:
    """One of Pillow's formats, with one view; qualities are the format's own.

    Attributes:
        version: Pillow's feature whose version decides the bytes.
        options: given to Pillow when saving.
    """

    name: str
    suffix: str
    version: str
    options: Mapping[str, Any] = field(hash=False)

    @property
    def identity(self) -> str:
        return f"{self.name} {features.version(self.version)} {dict(self.options)}"

    def encode(self, picture: Picture, quality: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, self.name, quality=quality, **self.options)
        return file.getvalue()

    def decode(self, data: bytes, views: Sequence[float]) -> list[Picture]:
        with Image.open(io.BytesIO(data)) as image:
            picture = np.array(image.convert("RGB"))
        return [picture for _ in views]


# As people use them: chroma at half resolution, and the encoder's best effort.
JPEG = PillowCodec("JPEG", ".jpg", "libjpeg_turbo", {"optimize": True})
WEBP = PillowCodec("WebP", ".webp", "webp", {"method": 6})
