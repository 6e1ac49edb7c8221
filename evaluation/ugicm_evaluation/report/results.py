"""What a report holds; everything that is written or drawn is written and drawn from this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ugicm_evaluation.bootstrap import Estimate
from ugicm_evaluation.measuring.run import Skipped
from ugicm_evaluation.tasks.protocol import Better, Role

__all__ = [
    "AtEqualBytes",
    "BdRate",
    "DatasetFacts",
    "Judged",
    "ModelFacts",
    "Point",
    "QualityRow",
    "RateDistortion",
    "RateRange",
    "Report",
    "ViewRow",
]


@dataclass(frozen=True)
class ModelFacts:
    """A model file.

    Attributes:
        parameters: values in the file.
        training: the record, with long lists as their length.
    """

    name: str
    backbone: str
    channels: int
    latent_channels: int
    quality_steps: int
    parameters: int
    num_bytes: int
    latents_id: str
    sha256: str
    training: Mapping[str, Any]


@dataclass(frozen=True)
class DatasetFacts:
    """A dataset as it was measured.

    Attributes:
        pictures: that were measured.
        reduced: of these, how many were larger than the limit.
        sha256: over the names and hashes of the measured pictures.
    """

    name: str
    pictures: int
    reduced: int
    sha256: str


@dataclass(frozen=True)
class Point:
    """The mean over pictures at one setting of a codec."""

    quality: int
    bits_per_pixel: float
    psnr: float


@dataclass(frozen=True)
class AtEqualBytes:
    """Means over pictures at one quality; gains are of the human view, in dB.

    JPEG and WebP are interpolated at each stream's bytes, over pictures that they can code so
    small; the baseline codes every picture to at most the stream's bytes.
    """

    quality: int
    bits_per_pixel: float
    human: float
    machine: float
    over_jpeg: Estimate | None
    over_webp: Estimate | None
    over_baseline: Estimate | None
    jpeg_beaten: int
    jpeg_compared: int


@dataclass(frozen=True)
class RateRange:
    """Streams in a range of bits per pixel; gains are of the human view, in dB."""

    low: float
    high: float
    streams: int
    over_jpeg: Estimate
    smallest_over_jpeg: float
    over_webp: Estimate | None


@dataclass(frozen=True)
class BdRate:
    """How many per cent more bytes a curve needs than an anchor for the same PSNR.

    Attributes:
        of_means: of the curves of means over pictures; None where they do not compare.
        of_pictures: the mean over pictures of each one's own figure.
        pictures: on which both curves compare.
    """

    test: str
    anchor: str
    of_means: float | None
    of_pictures: Estimate | None
    pictures: int


@dataclass(frozen=True)
class RateDistortion:
    """Bytes against PSNR.

    Attributes:
        curves: by name: human, machine, baseline, JPEG, WebP.
        baseline_over_budget: streams of the baseline larger than the bytes they were to take.
        published: BD-rates of published curves on Kodak.
    """

    dataset: str
    curves: Mapping[str, Sequence[Point]]
    at_equal_bytes: Sequence[AtEqualBytes]
    ranges: Sequence[RateRange]
    human_over_baseline: Estimate | None
    baseline_over_budget: int
    bd_rates: Sequence[BdRate]
    published: Sequence[BdRate]


@dataclass(frozen=True)
class QualityRow:
    """A metric at one quality, or averaged over all.

    Attributes:
        quality: None for the average.
        bits_per_pixel: mean of the streams.
        over_human: the machine view's figure less the human view's.
        over_baseline: the machine view's figure less the baseline's at equal bytes.
    """

    quality: int | None
    bits_per_pixel: float
    human: float
    machine: float
    baseline: float | None
    over_human: Estimate
    over_baseline: Estimate | None


@dataclass(frozen=True)
class ViewRow:
    """A metric at one position of the view, averaged over the qualities of the sweep."""

    view: float
    value: float
    over_human: Estimate


@dataclass(frozen=True)
class Judged:
    """One metric of one judge on one dataset.

    Attributes:
        role: of the metric.
        original: on the uncompressed pictures.
        rows: by quality, and last the average.
        views: along the view.
    """

    dataset: str
    judge: str
    metric: str
    unit: str
    better: Better
    role: Role
    original: float
    rows: Sequence[QualityRow]
    views: Sequence[ViewRow]


@dataclass(frozen=True)
class Report:
    """Everything that was found about a model.

    Attributes:
        judges: by name, the SHA-256 of their weights.
        teacher: what the judge of similarity in CLIP space says of itself.
        sweep_qualities: at which all positions of the view were measured.
        left_out: what was not measured, and why.
    """

    command: str
    versions: Mapping[str, str]
    model: ModelFacts
    baseline: ModelFacts | None
    datasets: Sequence[DatasetFacts]
    judges: Mapping[str, str]
    teacher: str | None
    draws: int
    seed: int
    sweep_qualities: Sequence[int]
    rate_distortion: RateDistortion | None
    judged: Sequence[Judged]
    skipped: Sequence[Skipped]
    left_out: Sequence[str]
