"""Measures one picture: codes it, decodes views, lets judges look at them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugicm_evaluation.codecs.protocol import BudgetedCodec, PictureCodec
from ugicm_evaluation.datasets.protocol import Picture, read_picture
from ugicm_evaluation.errors import BadPicture
from ugicm_evaluation.judges.protocol import Judge
from ugicm_evaluation.measuring.cache import Cache
from ugicm_evaluation.measuring.plan import Cast, Coding, Job
from ugicm_evaluation.metrics.fidelity import psnr

__all__ = ["ORIGINAL", "Coded", "Measured", "Measurer", "answer_name"]

# The view under which answers to the uncompressed picture are kept.
ORIGINAL = "original"


def answer_name(judge: str, view: float | str) -> str:
    """Return the name of an answer's array in a cache entry."""
    return f"{judge}@{view}"


@dataclass(frozen=True)
class Coded:
    """One coding of one picture.

    Attributes:
        num_bytes: of the whole file.
        psnr: of each view, in dB.
        file: the coded picture.
        entry: holds the judges' answers.
    """

    num_bytes: int
    psnr: Mapping[float, float]
    file: Path
    entry: Path


@dataclass(frozen=True)
class Measured:
    """One picture.

    Attributes:
        sha256: of its file.
        pixels: that were coded.
        reduced: whether it was larger and was reduced first.
        entry: holds the judges' answers to the uncompressed picture.
        coded: by coding.
    """

    key: str
    sha256: str
    pixels: int
    reduced: bool
    entry: Path
    coded: Mapping[Coding, Coded]


class Measurer:
    """One process' codecs and judges."""

    def __init__(self, cast: Cast) -> None:
        """Load everything; raises what the adapters raise."""
        self._codecs = {key: load() for key, load in cast.codecs.items()}
        self.judges = {key: load() for key, load in cast.judges.items()}
        self._cache = Cache(cast.cache)
        self._versions = dict(cast.versions)

    def measure(self, job: Job) -> Measured:
        """Measure a picture, or read what was measured of it before.

        Raises:
            BadPicture: it cannot be read.
            CodecError: it cannot be coded.
        """
        try:
            sha256 = hashlib.sha256(job.sample.path.read_bytes()).hexdigest()
        except OSError as error:
            raise BadPicture(f"{job.sample.key}: {error.strerror}") from error
        original = read_picture(job.sample.path)
        reduced = job.longest_side is not None and max(original.shape[:2]) > job.longest_side
        if reduced:
            original = read_picture(job.sample.path, longest_side=job.longest_side)
        judges = {key: self.judges[key] for key in job.judges}
        source = [sha256, list(original.shape), self._versions]
        coded: dict[Coding, Coded] = {}
        for coding in job.codings:
            budget = None
            if coding.within is not None:
                budget = next(
                    done.num_bytes
                    for other, done in coded.items()
                    if (other.codec, other.quality) == (coding.within, coding.quality)
                )
            coded[coding] = self._code(original, coding, budget, judges, source)
        return Measured(
            key=job.sample.key,
            sha256=sha256,
            pixels=original.shape[0] * original.shape[1],
            reduced=reduced,
            entry=self._look_at_original(original, judges, source),
            coded=coded,
        )

    def _code(
        self,
        original: Picture,
        coding: Coding,
        budget: int | None,
        judges: Mapping[str, Judge],
        source: Sequence[object],
    ) -> Coded:
        codec = self._codecs[coding.codec]
        setting = [codec.identity, coding.quality if budget is None else f"within {budget}"]
        file = self._cache.path(source, setting, suffix=codec.suffix)
        seen = {key: judge.weights_hash for key, judge in judges.items()}
        entry = self._cache.path(source, setting, list(coding.views), seen, suffix=".npz")
        done = self._cache.load(entry, "psnr")
        if done is None or not file.exists():
            if not file.exists():
                self._cache.write(file, _encode(codec, original, coding.quality, budget))
            pictures = codec.decode(file.read_bytes(), coding.views)
            done = {"psnr": np.array([psnr(picture, original) for picture in pictures])}
            answers: dict[str, NDArray[Any]] = {
                answer_name(key, view): judge.look(picture)
                for view, picture in zip(coding.views, pictures, strict=True)
                for key, judge in judges.items()
            }
            self._cache.save(entry, {**done, **answers})
        return Coded(
            num_bytes=file.stat().st_size,
            psnr=dict(zip(coding.views, done["psnr"].tolist(), strict=True)),
            file=file,
            entry=entry,
        )

    def _look_at_original(
        self, original: Picture, judges: Mapping[str, Judge], source: Sequence[object]
    ) -> Path:
        seen = {key: judge.weights_hash for key, judge in judges.items()}
        entry = self._cache.path(source, ORIGINAL, seen, suffix=".npz")
        names = [answer_name(key, ORIGINAL) for key in judges]
        if self._cache.load(entry, *names) is None:
            answers = [judge.look(original) for judge in judges.values()]
            self._cache.save(entry, dict(zip(names, answers, strict=True)))
        return entry


def _encode(codec: PictureCodec, picture: Picture, quality: int, budget: int | None) -> bytes:
    if budget is None:
        return codec.encode(picture, quality)
    if not isinstance(codec, BudgetedCodec):
        raise TypeError(f"{codec.name} cannot be told how many bytes to take")
    return codec.encode_within(picture, budget)
