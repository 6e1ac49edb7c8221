"""What the loss asks of a teacher, and no more."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from torch import Tensor
from torch.nn import functional

__all__ = ["Interpolation", "Teacher", "resize"]


class Interpolation(Enum):
    """How a teacher's pictures were resized when it was trained; always antialiased."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class Teacher(Protocol):
    """A frozen network from pictures to vectors in CLIP's image space.

    It stays in evaluation mode and its weights take no gradient, whatever is done to the model
    that learns from it.

    Attributes:
        description: names the teacher in training records.
        side: pixels along both sides of the pictures it is shown.
        mean_colour: RGB in [0, 1] that its normalisation turns into zeros: says nothing to it.
        interpolation: for resizing pictures to ``side``.
    """

    description: str
    side: int
    mean_colour: tuple[float, float, float]
    interpolation: Interpolation

    def embed(self, pictures: Tensor) -> Tensor:
        """Return ``(N, D)`` float32 for ``(N, 3, side, side)``, nominally in [0, 1].

        Normalisation is the teacher's own. Gradients reach the pictures and nothing else.
        """
        ...


def resize(pictures: Tensor, teacher: Teacher) -> Tensor:
    """Return ``(N, 3, H, W)`` as ``(N, 3, side, side)``, resized as the teacher was trained."""
    if pictures.shape[-2:] == (teacher.side, teacher.side):
        return pictures
    size = (teacher.side, teacher.side)
    mode = teacher.interpolation.value
    return functional.interpolate(pictures, size, mode=mode, antialias=True)
