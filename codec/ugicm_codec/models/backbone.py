"""What all backbones have in common."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["BackboneConfig", "Predicted"]


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """The sizes that make one network, as far as all backbones have them.

    Attributes:
        channels: ``N``, the transforms' width.
        latent_channels: ``M``, the latents' channels.
        view_features: width of the view's embedding; 512 in the published code.
        view_octaves: number of sine and cosine pairs of the view; 10 in the published code.
        two_ended: whether the synthesis has weights for either end of the views, between which
            a view interpolates, beside the terms that a view adds
            (``docs/decisions/view-weights.md``).
    """

    channels: int
    latent_channels: int
    view_features: int
    view_octaves: int
    two_ended: bool = False


@dataclass(frozen=True)
class Predicted:
    """What is known of latents before they are coded, and what they are then decoded to.

    Attributes:
        y_hat: ``(N, C, h, w)``: means plus rounded differences, and what is predicted on top.
        scales: ``(N, C, h, w)``, > 0 only after the tables' lower bound.
        means: of the same shape, or one for all.
    """

    y_hat: Tensor
    scales: Tensor
    means: Tensor
