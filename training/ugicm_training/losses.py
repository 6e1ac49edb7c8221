"""What training minimises: bits, squared error, and the distance of meanings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ugicm_training.instances.masks import InstanceMasks
from ugicm_training.ms_clip import MsClip, MsClipTerms
from ugicm_training.plan import Plan

__all__ = ["LossTerms", "training_loss"]

# Squared errors count on the scale of grey levels, as in CompressAI, so that lambdas compare.
_GREY_LEVELS = 255.0


@dataclass(frozen=True)
class LossTerms:
    """The loss and what it is made of; only ``total`` has a gradient.

    Attributes:
        total: what is minimised, a mean over the batch.
        bits_per_pixel: ``(N,)``, estimated.
        squared_error: ``(N,)``, of pixels in [0, 1].
        view: ``(N,)``, the plan's.
        semantic: MS-CLIP's terms of the pictures with a weight of it; None if there are none.
    """

    total: Tensor
    bits_per_pixel: Tensor
    squared_error: Tensor
    view: Tensor
    semantic: MsClipTerms | None


def training_loss(
    *,
    original: Tensor,
    reconstruction: Tensor,
    bits: Tensor,
    plan: Plan,
    ms_clip: MsClip | None,
    instances: InstanceMasks | None,
    generator: torch.Generator,
) -> LossTerms:
    """Weigh rate, distortion and meaning of each picture as the plan says.

    Args:
        original: ``(N, 3, H, W)`` in [0, 1].
        reconstruction: the same shape, not clamped.
        bits: ``(N,)``.
        ms_clip: None where no picture asks for meaning.
        instances: of the pictures that ask for meaning, in the plan's order; None where MS-CLIP has
            no instance term.
        generator: of the local term's crops.
    """
    pixels = original.shape[2] * original.shape[3]
    squared_error = (reconstruction - original).square().flatten(1).mean(1)
    bits_per_pixel = bits / pixels
    total = plan.rate * bits_per_pixel
    total = total + plan.distortion * _GREY_LEVELS**2 * squared_error
    semantic = None
    if ms_clip is not None and len(plan.asking):
        semantic = ms_clip(
            original[plan.asking],
            reconstruction[plan.asking],
            instances=instances,
            generator=generator,
        )
        weighed = plan.semantic[plan.asking] * semantic.total
        total = total.index_add(0, plan.asking, weighed)
    return LossTerms(
        total=total.mean(),
        bits_per_pixel=bits_per_pixel.detach(),
        squared_error=squared_error.detach(),
        view=plan.view,
        semantic=semantic,
    )
