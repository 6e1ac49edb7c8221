"""What a run found, as its JSON file holds it; tables, plots and deltas are made of it alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from ugicm_evaluation.bootstrap import Estimate
from ugicm_evaluation.errors import BadRun
from ugicm_evaluation.tasks.protocol import Better

__all__ = [
    "CodecFacts",
    "DatasetFacts",
    "Figure",
    "JudgeFacts",
    "MetricFacts",
    "PictureRow",
    "Point",
    "Run",
    "SkippedPicture",
    "read_run",
    "write_run",
]

FORMAT: TypeAlias = Literal["ugicm-evaluation-run-1"]


class _Table(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the file; keys that it does not know are of later versions."""


class Figure(_Table, frozen=True, kw_only=True):
    """A figure over pictures and its 95 % interval; null where it is no number.

    Attributes:
        pictures: of which it is a number.
    """

    value: float | None
    low: float | None
    high: float | None
    pictures: int

    @property
    def known(self) -> Estimate | None:
        """The figure and its interval; None where it is no number."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return Estimate(self.value, self.low, self.high)


class MetricFacts(_Table, frozen=True, kw_only=True):
    """A metric.

    Attributes:
        title: what readers call it.
        judge: whose answers it scores; null where it compares pixels.
    """

    title: str
    unit: str
    better: Better
    judge: str | None = None


class DatasetFacts(_Table, frozen=True, kw_only=True):
    """A data set as it was measured.

    Attributes:
        pictures: that were measured.
        reduced: of these, how many were larger than the limit.
        sha256: over the keys and hashes of the measured pictures.
        originals: what judges make of the uncompressed pictures, by metric.
    """

    name: str
    pictures: int
    reduced: int
    sha256: str
    originals: Mapping[str, Figure]


class CodecFacts(_Table, frozen=True, kw_only=True):
    """A codec and what decides its bytes and pixels: hashes, versions, options."""

    name: str
    identity: str


class JudgeFacts(_Table, frozen=True, kw_only=True):
    """A judge and what decides its answers."""

    name: str
    version: str


class Point(_Table, frozen=True, kw_only=True):
    """Means over the pictures of a data set, of one view of a codec at one quality.

    Attributes:
        bits_per_pixel: of whole files, the mean of the pictures'.
        figures: by metric.
    """

    dataset: str
    codec: str
    quality: int
    view: float
    bits_per_pixel: float
    figures: Mapping[str, Figure]


class PictureRow(_Table, frozen=True, kw_only=True):
    """One view of one picture's file.

    Attributes:
        bytes: of the whole file.
        figures: by metric, those that a single picture has.
    """

    dataset: str
    picture: str
    sha256: str
    pixels: int
    codec: str
    quality: int
    view: float
    bytes: int
    figures: Mapping[str, float | None]


class SkippedPicture(_Table, frozen=True, kw_only=True):
    """A picture that is in no figure, and why."""

    dataset: str
    picture: str
    reason: str


class Run(_Table, frozen=True, kw_only=True):
    """Everything that a run found, and how to find it again.

    Attributes:
        config: what was run, with the names of files alone.
        metrics: by the names that figures have.
    """

    format: FORMAT = "ugicm-evaluation-run-1"
    name: str
    command: str
    config: Any
    versions: Mapping[str, str]
    draws: int
    seed: int
    metrics: Mapping[str, MetricFacts]
    datasets: list[DatasetFacts]
    codecs: list[CodecFacts]
    judges: list[JudgeFacts]
    points: list[Point]
    pictures: list[PictureRow]
    skipped: list[SkippedPicture]


def write_run(run: Run) -> bytes:
    """Return a run's JSON; what is no number is null."""
    return msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n"


def read_run(path: Path) -> Run:
    """Read a run's JSON file.

    Raises:
        BadRun: it is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run)
    except (OSError, msgspec.DecodeError) as error:
        raise BadRun(f"{path} holds no run: {error}") from error
