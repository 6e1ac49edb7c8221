"""What is to be measured: pictures, the ways they are coded, and who looks at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ugicm_evaluation.codecs.opening import AnyCodec
from ugicm_evaluation.datasets.protocol import Sample
from ugicm_evaluation.judges.protocol import Judge
from ugicm_evaluation.metrics.fidelity import Fidelity

__all__ = ["Cast", "Coding", "Job"]


@dataclass(frozen=True)
class Coding:
    """One way to code a picture.

    Attributes:
        codec: its key in the cast.
        quality: of the codec, or of the coding whose bytes it may take.
        views: that are decoded and looked at.
        within: the codec in the cast whose stream of this quality bounds the bytes; None to code
            at the quality itself.
    """

    codec: str
    quality: int
    views: tuple[float, ...]
    within: str | None = None


@dataclass(frozen=True)
class Job:
    """Everything that is measured of one picture.

    Attributes:
        judges: keys in the cast.
        fidelity: keys in the cast, of the metrics of every decoded picture.
        longest_side: to which larger pictures are reduced before they are coded.
    """

    dataset: str
    sample: Sample
    codings: tuple[Coding, ...]
    judges: tuple[str, ...]
    fidelity: tuple[str, ...] = ("psnr",)
    longest_side: int | None = None


@dataclass(frozen=True)
class Cast:
    """How each process loads codecs, judges and metrics, and where it keeps what it measured.

    Attributes:
        codecs: by the keys that codings use.
        judges: by the keys that jobs use.
        fidelity: by the keys that jobs use.
        cache: a folder.
        versions: of libraries that decide bytes, pixels or answers; others measure anew.
    """

    codecs: Mapping[str, Callable[[], AnyCodec]]
    judges: Mapping[str, Callable[[], Judge]]
    fidelity: Mapping[str, Callable[[], Fidelity]]
    cache: Path
    versions: Mapping[str, str]
