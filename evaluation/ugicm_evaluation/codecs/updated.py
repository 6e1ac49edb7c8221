"""Decoded pictures updated until a teacher sees more of the original in them: a study.

Yin et al., AAAI 2025, Eq. 3. The update knows the original, so this is no codec that anybody could
use; it shows what a teacher can teach.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ugicm_evaluation.codecs.protocol import PictureCodec
from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.judges.clip_space import teacher_hash
from ugicm_training.teachers.opening import open_teacher
from ugicm_training.teachers.protocol import Teacher, resize

__all__ = ["UpdatedCodec", "update"]

_LEVELS = 255.0


class UpdatedCodec:
    """A codec whose decoded pictures are updated; its files are the codec's own."""

    def __init__(
        self, codec: PictureCodec, teacher: str, *, delta: int, step_levels: float, steps: int
    ) -> None:
        """Open the teacher; arguments are those of ``config.Updated``.

        Raises:
            TrainingError: it is not to be had.
        """
        self._codec = codec
        self._teacher = open_teacher(teacher, torch.device("cpu"))
        self._delta, self._step_levels, self._steps = delta, step_levels, steps
        self.name, self.suffix = codec.name, codec.suffix
        self.identity = (
            f"{codec.identity} updated by {delta} in {steps} steps of {step_levels} "
            f"under {teacher_hash(teacher)}"
        )

    def encode(self, picture: Picture, quality: int) -> bytes:
        return self._codec.encode(picture, quality)

    def decode(self, data: bytes, views: Sequence[float]) -> list[Picture]:
        return self._codec.decode(data, views)

    def refine(self, pictures: Sequence[Picture], original: Picture) -> list[Picture]:
        return [
            update(
                one,
                original,
                self._teacher,
                delta=self._delta,
                step_levels=self._step_levels,
                steps=self._steps,
            )
            for one in pictures
        ]


def update(
    picture: Picture,
    original: Picture,
    teacher: Teacher,
    *,
    delta: int,
    step_levels: float,
    steps: int,
) -> Picture:
    """Move a picture to where the teacher sees more of the original in it (Eq. 3).

    Args:
        picture: decoded.
        original: of the same size.
        teacher: whose cosine with the original is to rise.
        delta: levels of 255 by which a value may change at most.
        step_levels: levels of 255 by which each step changes every value.
        steps: how often.

    Returns:
        The picture after the last step, rounded to levels.
    """
    start, goal = _tensor(picture), teacher.embed(resize(_tensor(original), teacher))
    bound = delta / _LEVELS
    moved = start.clone()
    for _ in range(steps):
        moved.requires_grad_(True)
        found = teacher.embed(resize(moved, teacher))
        distance = 1.0 - functional.cosine_similarity(found, goal.detach()).sum()
        (gradient,) = torch.autograd.grad(distance, moved)
        with torch.no_grad():
            stepped = moved - step_levels / _LEVELS * gradient.sign()
            moved = (start + (stepped - start).clamp(-bound, bound)).clamp(0.0, 1.0)
    updated: Picture = (moved[0] * _LEVELS).round().byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(updated)


def _tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / _LEVELS
