"""What training minimises: bits, squared error, and the distance of meanings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ugicm_training.teacher import Teacher

__all__ = ["LossTerms", "LossWeights", "semantic_distance", "training_loss"]

# Squared errors count on the scale of grey levels, as in CompressAI, so that lambdas compare.
_GREY_LEVELS = 255.0


@dataclass(frozen=True)
class LossWeights:
    """How much the terms count.

    Attributes:
        semantic: of the semantic distance, in a machine view.
        machine_distortion: share of the squared error that a machine view keeps; a human view
            keeps all of it, and views between interpolate both weights.
    """

    semantic: float
    machine_distortion: float


@dataclass(frozen=True)
class LossTerms:
    """The loss and what it is made of, means over the batch.

    Attributes:
        total: what is minimised.
        bits_per_pixel: estimated.
        squared_error: of pixels in [0, 1].
        semantic: 1 - cosine in the teacher's space; 0 where no teacher was asked.
    """

    total: Tensor
    bits_per_pixel: Tensor
    squared_error: Tensor
    semantic: Tensor


def semantic_distance(teacher: Teacher, original: Tensor, reconstruction: Tensor) -> Tensor:
    """Return ``(N,)``, 1 - cosine of the two pictures' vectors (Eq. 6); in [0, 2]."""
    with torch.no_grad():
        target = teacher.embed(original)
    return 1.0 - functional.cosine_similarity(teacher.embed(reconstruction), target, dim=1)


def training_loss(
    *,
    original: Tensor,
    reconstruction: Tensor,
    bits: Tensor,
    distortion_weight: Tensor,
    view: Tensor,
    weights: LossWeights,
    teacher: Teacher | None,
) -> LossTerms:
    """Weigh rate, distortion and meaning for each picture's view.

    Args:
        original: ``(N, 3, H, W)`` in [0, 1].
        reconstruction: the same shape, not clamped.
        bits: ``(N,)``.
        distortion_weight: ``(N,)``, lambda.
        view: ``(N,)`` in [0, 1].
        weights: of the terms.
        teacher: None where no view asks for meaning.
    """
    pixels = original.shape[2] * original.shape[3]
    squared_error = (reconstruction - original).square().flatten(1).mean(1)
    bits_per_pixel = bits / pixels
    if teacher is None:
        semantic = torch.zeros_like(squared_error)
    else:
        semantic = semantic_distance(teacher, original, reconstruction)
    kept = 1.0 - view * (1.0 - weights.machine_distortion)
    distortion = distortion_weight * _GREY_LEVELS**2 * squared_error * kept
    total = bits_per_pixel + distortion + weights.semantic * view * semantic
    return LossTerms(
        total=total.mean(),
        bits_per_pixel=bits_per_pixel.mean(),
        squared_error=squared_error.mean(),
        semantic=semantic.mean(),
    )
