"""Masks as COCO's run lengths: what is stored, and what other people's files hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from ugicm_training.errors import BadMasks
from ugicm_training.instances.protocol import Masks

__all__ = ["PictureMasks", "columns", "compress", "parse"]

Runs = NDArray[np.int64]
"""Lengths of runs down the columns, one column after the other, of 0, 1, 0, 1, ..."""

# Six digits of 5 bits hold the difference of any two lengths below 2^28.
_MOST_DIGITS = 6


@dataclass(frozen=True)
class PictureMasks:
    """The instances of one picture.

    Attributes:
        height: of the picture and of each mask, pixels.
        width: likewise.
        counts: one mask each in COCO's compressed run lengths, the best first.
    """

    height: int
    width: int
    counts: tuple[bytes, ...]

    @classmethod
    def encode(cls, masks: Masks) -> PictureMasks:
        """Pack ``(K, H, W)`` masks; empty ones are left out."""
        _, height, width = masks.shape
        kept = masks[masks.any((1, 2))].astype(np.uint8)
        packed = coco.encode(np.asfortranarray(kept.transpose(1, 2, 0)))
        return cls(height, width, tuple(runs["counts"] for runs in packed))

    def runs(self) -> list[Runs]:
        """Return the run lengths of each mask.

        Raises:
            BadMasks: they do not cover the picture exactly.
        """
        return [parse(counts, self.height, self.width) for counts in self.counts]

    def decode(self) -> Masks:
        """Return ``(K, H, W)``.

        Raises:
            BadMasks: the runs do not cover the picture exactly.
        """
        masks = np.empty((len(self.counts), self.height, self.width), np.bool_)
        for index, runs in enumerate(self.runs()):
            masks[index] = columns(runs, self.height, 0, self.width)
        return masks


def columns(runs: Runs, height: int, left: int, width: int) -> NDArray[np.bool_]:
    """Return ``(height, width)``, some columns of a mask, without unpacking the others."""
    first, last = left * height, (left + width) * height
    lengths = np.diff(runs.cumsum().clip(first, last), prepend=first)
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, lengths)
    strip: NDArray[np.bool_] = flat.reshape(width, height).T
    return strip


def parse(counts: bytes, height: int, width: int) -> Runs:
    """Read compressed run lengths.

    pycocotools' own reader runs past its buffer where the text ends within a number, and these
    files come from other people.

    Raises:
        BadMasks: the text is damaged, or the runs do not cover the picture exactly.
    """
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(digits & 32 == 0)
    whole = len(ends) and ends[-1] == len(digits) - 1
    if whole and digits.min() >= 0 and digits.max() < 64:
        starts = np.concatenate([[0], ends[:-1] + 1])
        if (ends - starts).max() < _MOST_DIGITS:
            place = np.arange(len(digits)) - np.repeat(starts, ends - starts + 1)
            values = np.add.reduceat((digits & 31) << 5 * place, starts)
            negative = digits[ends] & 16 != 0
            runs: Runs = values - np.where(negative, 1 << 5 * (ends - starts + 1), 0)
            # Each number but the first three is the difference from the last but one.
            runs[1::2] = runs[1::2].cumsum()
            runs[2::2] = runs[2::2].cumsum()
            if runs.min() >= 0 and runs.sum() == height * width:
                return runs
    raise BadMasks(f"run lengths that do not cover {height}x{width} pixels")


def compress(runs: Sequence[int], height: int, width: int) -> bytes:
    """Write run lengths as COCO's compressed ones.

    Raises:
        BadMasks: they do not cover the picture exactly.
    """
    if sum(runs) != height * width:
        raise BadMasks(f"run lengths that do not cover {height}x{width} pixels")
    uncompressed = {"size": [height, width], "counts": np.asarray(runs, np.uint32)}
    packed: dict[str, Any] = coco.frPyObjects(uncompressed, height, width)
    return bytes(packed["counts"])
