"""Measures one picture: codes it, decodes views, lets judges look at them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugicm_evaluation.codecs.protocol import (
    BudgetedCodec,
    FinishedCodec,
    Outcome,
    PictureCodec,
    RefiningCodec,
)
from ugicm_evaluation.datasets.protocol import Picture, read_picture
from ugicm_evaluation.errors import BadPicture
from ugicm_evaluation.judges.protocol import Judge
from ugicm_evaluation.measuring.cache import Arrays, Cache
from ugicm_evaluation.measuring.plan import Cast, Coding, Job
from ugicm_evaluation.metrics.fidelity import Fidelity

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
        fidelity: of each view, by metric.
        file: the coded picture; None where it was coded elsewhere.
        entry: holds the judges' answers.
    """

    num_bytes: int
    fidelity: Mapping[str, Mapping[float, float]]
    file: Path | None
    entry: Path

    @property
    def psnr(self) -> Mapping[float, float]:
        """Of each view, in dB."""
        return self.fidelity["psnr"]


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


@dataclass(frozen=True)
class _Look:
    """What is asked of every decoded picture."""

    judges: Mapping[str, Judge]
    fidelity: Mapping[str, Fidelity]

    @property
    def identity(self) -> list[dict[str, str]]:
        return [
            {key: judge.weights_hash for key, judge in self.judges.items()},
            {key: metric.identity for key, metric in self.fidelity.items()},
        ]


class Measurer:
    """One process' codecs, judges and metrics.

    Attributes:
        codecs: by the keys that codings use.
        judges: by the keys that jobs use.
        fidelity: by the keys that jobs use.
    """

    def __init__(self, cast: Cast) -> None:
        """Load everything; raises what the adapters raise."""
        self.codecs = {key: load() for key, load in cast.codecs.items()}
        self.judges = {key: load() for key, load in cast.judges.items()}
        self.fidelity = {key: load() for key, load in cast.fidelity.items()}
        self._cache = Cache(cast.cache)
        self._versions = dict(cast.versions)

    def measure(self, job: Job) -> Measured:
        """Measure a picture, or read what was measured of it before.

        Raises:
            BadPicture: it cannot be read, or a result of it is missing.
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
        look = _Look(
            {key: self.judges[key] for key in job.judges},
            {key: self.fidelity[key] for key in job.fidelity},
        )
        source = [sha256, list(original.shape), self._versions]
        coded: dict[Coding, Coded] = {}
        for coding in job.codings:
            codec = self.codecs[coding.codec]
            if isinstance(codec, FinishedCodec):
                outcome = codec.outcome(job.sample.key, coding.quality, coding.views)
                coded[coding] = self._compare(original, coding, outcome, look, source)
            else:
                budget = _budget(coding, coded)
                coded[coding] = self._code(original, codec, coding, budget, look, source)
        return Measured(
            key=job.sample.key,
            sha256=sha256,
            pixels=original.shape[0] * original.shape[1],
            reduced=reduced,
            entry=self._look_at_original(original, look.judges, source),
            coded=coded,
        )

    def _code(
        self,
        original: Picture,
        codec: PictureCodec,
        coding: Coding,
        budget: int | None,
        look: _Look,
        source: Sequence[object],
    ) -> Coded:
        setting = [codec.identity, coding.quality if budget is None else f"within {budget}"]
        file = self._cache.path(source, setting, suffix=codec.suffix)
        entry = self._cache.path(source, setting, list(coding.views), look.identity, suffix=".npz")
        figures = self._cache.load(entry, *look.fidelity)
        if figures is None or not file.exists():
            if not file.exists():
                self._cache.write(file, _encode(codec, original, coding.quality, budget))
            pictures = codec.decode(file.read_bytes(), coding.views)
            if isinstance(codec, RefiningCodec):
                pictures = codec.refine(pictures, original)
            figures = self._look_at(pictures, original, coding, look, entry)
        return _coded(file.stat().st_size, figures, coding, file, entry)

    def _compare(
        self,
        original: Picture,
        coding: Coding,
        outcome: Outcome,
        look: _Look,
        source: Sequence[object],
    ) -> Coded:
        for picture in outcome.pictures:
            if picture.shape != original.shape:
                raise BadPicture(
                    f"{coding.codec} at quality {coding.quality} decoded "
                    f"{picture.shape[1]}x{picture.shape[0]} pixels, "
                    f"the picture has {original.shape[1]}x{original.shape[0]}"
                )
        entry = self._cache.path(
            source, outcome.identity, list(coding.views), look.identity, suffix=".npz"
        )
        figures = self._cache.load(entry, *look.fidelity)
        if figures is None:
            figures = self._look_at(outcome.pictures, original, coding, look, entry)
        return _coded(outcome.num_bytes, figures, coding, None, entry)

    def _look_at(
        self,
        pictures: Sequence[Picture],
        original: Picture,
        coding: Coding,
        look: _Look,
        entry: Path,
    ) -> dict[str, NDArray[Any]]:
        figures: dict[str, NDArray[Any]] = {
            key: np.array([metric.measure(picture, original) for picture in pictures])
            for key, metric in look.fidelity.items()
        }
        answers: dict[str, NDArray[Any]] = {
            answer_name(key, view): judge.look(picture)
            for view, picture in zip(coding.views, pictures, strict=True)
            for key, judge in look.judges.items()
        }
        self._cache.save(entry, {**figures, **answers})
        return figures

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


def _coded(
    num_bytes: int, figures: Arrays, coding: Coding, file: Path | None, entry: Path
) -> Coded:
    fidelity = {
        key: dict(zip(coding.views, values.tolist(), strict=True))
        for key, values in figures.items()
    }
    return Coded(num_bytes, fidelity, file, entry)


def _budget(coding: Coding, coded: Mapping[Coding, Coded]) -> int | None:
    """Return the bytes of the stream that bounds this coding, if one does."""
    if coding.within is None:
        return None
    return next(
        done.num_bytes
        for other, done in coded.items()
        if (other.codec, other.quality) == (coding.within, coding.quality)
    )


def _encode(codec: PictureCodec, picture: Picture, quality: int, budget: int | None) -> bytes:
    if budget is None:
        return codec.encode(picture, quality)
    if not isinstance(codec, BudgetedCodec):
        raise TypeError(f"{codec.name} cannot be told how many bytes to take")
    return codec.encode_within(picture, budget)
