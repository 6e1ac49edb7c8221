"""A codec without networks: real containers around compressed pixels; calls are counted."""

from __future__ import annotations

import threading
import zlib
from collections import Counter
from dataclasses import dataclass

import google_crc32c
import numpy as np

from ugicm_codec.bitstream import read_stream, write_stream
from ugicm_codec.errors import BadQuality, BudgetTooSmall, WrongModel
from ugicm_codec.limits import Limits


@dataclass(frozen=True)
class FakeModel:
    name: str = "fake"
    backbone: str = "none"
    latents_id: bytes = b"fakefake"
    sha256: str = "f" * 64
    quality_steps: int = 101


@dataclass(frozen=True)
class FakeLatents:
    integers: np.ndarray

    @property
    def num_bytes(self):
        return self.integers.nbytes


class FakeCodec:
    """Lossless; a view is the picture with its bits flipped by ``round(255 * view)``."""

    def __init__(self, model: FakeModel | None = None) -> None:
        self.model = model or FakeModel()
        self.calls = Counter()
        # Tests clear it to hold work up, and are told when some is.
        self.go_on = threading.Event()
        self.go_on.set()
        self.held_up = threading.Event()

    def encode(self, image, quality=None, *, max_bytes=None):
        return self.code(self.analyse(image), quality, max_bytes=max_bytes)

    def analyse(self, image):
        self._work("analyse")
        return image

    def code(self, image, quality=None, *, max_bytes=None):
        self._work("code")
        step = 50 if quality is None else quality
        if not 0 <= step <= 100:
            raise BadQuality(f"quality is an integer from 0 to 100, got {step}")
        coded = zlib.compress(np.ascontiguousarray(image), 1)
        stream = write_stream(
            latents_id=self.model.latents_id,
            height=image.shape[0],
            width=image.shape[1],
            quality_step=step,
            latents_crc=google_crc32c.value(coded),
            hyper=b"",
            latents=coded,
        )
        if max_bytes is not None and len(stream) > max_bytes:
            raise BudgetTooSmall(f"the smallest has {len(stream)} bytes", smallest=len(stream))
        return stream

    def decode_latents(self, stream):
        self._work("decode_latents")
        parsed = read_stream(stream, Limits())
        if parsed.header.latents_id != self.model.latents_id:
            raise WrongModel("coded for another model")
        flat = np.frombuffer(zlib.decompress(parsed.latents), np.uint8)
        return FakeLatents(flat.reshape(parsed.header.height, parsed.header.width, 3))

    def synthesise(self, latents, views):
        self._work("synthesise")
        return [
            item.integers ^ np.uint8(round(255 * view))
            for item, view in zip(latents, views, strict=True)
        ]

    def decode_views(self, stream, views):
        latents = self.decode_latents(stream)
        return [self.synthesise([latents], [view])[0] for view in views]

    def _work(self, name):
        self.calls[name] += 1
        if not self.go_on.is_set():
            self.held_up.set()
        assert self.go_on.wait(60), "a test held work up and never let it go on"


def picture(height=12, width=17, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
