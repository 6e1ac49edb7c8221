"""The codecs that Pillow brings, and those of its plug-ins."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np
import pillow_jxl  # noqa: F401 (registers the format)
from PIL import Image, features

from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.errors import BadCodec

__all__ = ["AVIF", "JPEG", "JPEG_XL", "WEBP", "PillowCodec", "available"]


@dataclass(frozen=True)
class PillowCodec:
    """One of Pillow's formats, with one view; qualities are the format's own.

    Attributes:
        version: of the library that decides the bytes; None where this Pillow lacks it.
        options: given to Pillow when saving.
        format: what Pillow calls it.
    """

    name: str
    suffix: str
    version: str | None
    options: Mapping[str, Any] = field(hash=False)
    format: str

    @property
    def identity(self) -> str:
        return f"{self.name} {self.version} {dict(self.options)}"

    def encode(self, picture: Picture, quality: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, self.format, quality=quality, **self.options)
        return file.getvalue()

    def decode(self, data: bytes, views: Sequence[float]) -> list[Picture]:
        with Image.open(io.BytesIO(data)) as image:
            picture = np.array(image.convert("RGB"))
        return [picture for _ in views]


def available(codec: PillowCodec) -> PillowCodec:
    """Return the codec; raise ``BadCodec`` where this build of Pillow cannot write it."""
    if codec.version is None:
        raise BadCodec(f"this Pillow writes no {codec.name}: install a build that does")
    return codec


# As people use them: chroma at half resolution where it is the default, and an effort that still
# takes less than a second for a photograph.
JPEG = PillowCodec("JPEG", ".jpg", features.version("libjpeg_turbo"), {"optimize": True}, "JPEG")
WEBP = PillowCodec("WebP", ".webp", features.version("webp"), {"method": 6}, "WEBP")
AVIF = PillowCodec("AVIF", ".avif", features.version("avif"), {"speed": 6}, "AVIF")
JPEG_XL = PillowCodec(
    "JPEG XL", ".jxl", metadata.version("pillow-jxl-plugin"), {"effort": 7}, "JXL"
)
