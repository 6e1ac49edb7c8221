"""The two halves of every slice: anchors, and the non-anchors that are coded knowing them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["anchors", "at_anchors", "at_nonanchors"]


def anchors(like: Tensor) -> Tensor:
    """Return ``(H, W)``, true where row plus column is odd, for features ``(N, C, H, W)``."""
    height, width = like.shape[-2:]
    rows = torch.arange(height, device=like.device)[:, None]
    return (rows + torch.arange(width, device=like.device)) % 2 == 1


def at_anchors(features: Tensor) -> Tensor:
    """Return the features at anchors, and zeros elsewhere."""
    return features * anchors(features)


def at_nonanchors(features: Tensor) -> Tensor:
    """Return the features at non-anchors, and zeros elsewhere."""
    return features * ~anchors(features)
