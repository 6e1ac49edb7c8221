"""Opens the teacher that a specification names."""

from __future__ import annotations

from pathlib import Path

import torch

from ugicm_training.errors import UnknownTeacher
from ugicm_training.teachers.protocol import Teacher
from ugicm_training.teachers.stand_in import StandIn

__all__ = ["SPECIFICATIONS", "open_teacher"]

SPECIFICATIONS = (
    "open_clip:MODEL:TAG, open_clip:MODEL:FILE, open_clip:MODEL:TAG=FILE or stand-in:FILE"
)


def open_teacher(specification: str, device: torch.device, *, side: int | None = None) -> Teacher:
    """Open the teacher named by, for example, ``open_clip:ViT-B-32:laion2b_s34b_b79k``.

    Args:
        specification: one of ``SPECIFICATIONS``; see ``OpenClip.load`` for the first three.
        device: to put it on.
        side: of the pictures it is shown, where that is not the teacher's own choice.

    Raises:
        UnknownTeacher: the specification has another form, or names an unknown model.
        MissingWeights: its weights are not there, or not its weights.
    """
    match specification.split(":", 2):
        case ["open_clip", name, pretrained] if name and pretrained:
            # Takes a second to import, and a stand-in needs none of it.
            from ugicm_training.teachers.openclip import OpenClip

            return OpenClip.load(name, pretrained, device, side=side)
        case ["stand-in", *rest] if any(rest):
            path = Path(":".join(rest))
            return (
                StandIn.load(path, device)
                if side is None
                else StandIn.load(path, device, side=side)
            )
    raise UnknownTeacher(f"a teacher is {SPECIFICATIONS}, got {specification!r}")
