"""The transforms of MLIC++ (Jiang and Wang 2023), with a view-conditioned synthesis (PCDM).

Signal flow (``*`` and ``/`` are the quality step's gains, outside the entropy path)::

    x -> g_a -> y -> * gain -> round by slices -> y_hat -> / gain -> g_s(view) -> x_hat
                        |         ^ means, scales, and what rounding lost: contexts (context.py)
                        +-> h_a -> round -> z_hat -> h_s
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from ugicm_codec.models.conditioning import Conditioned
from ugicm_codec.models.mlicpp.blocks import (
    ResidualBlock,
    ResidualDownsampling,
    ResidualUpsampling,
    convolution,
    upsampling,
)
from ugicm_codec.models.mlicpp.config import MlicppConfig

__all__ = [
    "MARGIN",
    "PICTURE_WEIGHTS",
    "TILE_SIDE",
    "Analysis",
    "ConditionalSynthesis",
    "HyperAnalysis",
    "HyperSynthesis",
    "Synthesis",
]

# Latents around a tile that its result depends on: g_a reaches 57 pixels, less than 4 latents;
# g_s reaches 104 pixels, less than 7.
MARGIN: Final = 7

# Latents along a tile's side: at half the picture's resolution, each of the blocks' some five
# feature maps takes 192 MiB in float32 at N=192.
TILE_SIDE: Final = 64

# The analysis' weights that pixels are multiplied with.
PICTURE_WEIGHTS: Final = ("0.first.weight", "0.skip.weight")


class Analysis(nn.Sequential):
    """Turn a picture into latents (``g_a``).

    ``(N, 3, H, W)`` in [0, 1] to ``(N, M, ceil(H/16), ceil(W/16))``.
    """

    def __init__(self, config: MlicppConfig) -> None:
        n, m = config.channels, config.latent_channels
        super().__init__(
            ResidualDownsampling(3, n),
            ResidualBlock(n, n),
            ResidualDownsampling(n, n),
            ResidualBlock(n, n),
            ResidualDownsampling(n, n),
            ResidualBlock(n, n),
            convolution(n, m, stride=2),
        )


class Synthesis(nn.Module):
    """Turn latents into a picture (``g_s``), for the one view that its weights are for."""

    def __init__(self, config: MlicppConfig) -> None:
        super().__init__()
        n, m, entry = config.channels, config.latent_channels, config.entry_channels
        self.blocks = nn.ModuleList(
            [ResidualBlock(m, entry), *(ResidualBlock(n, n) for _ in range(3))]
        )
        self.upsamplings = nn.ModuleList(
            [ResidualUpsampling(entry, n), *(ResidualUpsampling(n, n) for _ in range(2))]
        )
        self.output = upsampling(n, 3)

    def settle(self, precision: torch.dtype) -> None:
        """Put all but the output into a precision, where nothing is trained any more."""
        self.blocks.to(dtype=precision)
        self.upsamplings.to(dtype=precision)

    def forward(self, y_hat: Tensor, terms: list[Tensor]) -> Tensor:
        """Reconstruct pictures.

        Args:
            y_hat: ``(N, M, h, w)``, latents divided by their gains.
            terms: what ``ConditionalSynthesis.terms`` returned for these pictures' views. The last
                one decides the output layer's precision.

        Returns:
            ``(N, 3, 16 h, 16 w)``, RGB, nominally in [0, 1]; not clamped.
        """
        x = self.blocks[0](y_hat, (terms[0], terms[1]))
        for index, upsample in enumerate(self.upsamplings, start=1):
            x = self.blocks[index](upsample(x), (terms[2 * index], terms[2 * index + 1]))
        return self.output(x.to(terms[-1].dtype))  # type: ignore[no-any-return]


class ConditionalSynthesis(Conditioned, Synthesis):
    """Turn latents into a picture for a view (``g_s`` with a PCDM in every residual block).

    The view's terms are added after both activations of each block, as in the published code of
    Yin et al. (AAAI 2025).
    """

    of_one_view = Synthesis

    def __init__(self, config: MlicppConfig) -> None:
        n, entry = config.channels, config.entry_channels
        super().__init__(config, (entry, entry, *[n] * 6), config.view_output)


class HyperAnalysis(nn.Sequential):
    """Summarise what the latents are like (``h_a``).

    ``(N, M, h, w)`` scaled latents to ``(N, N_channels, ceil(h/4), ceil(w/4))``.
    """

    def __init__(self, config: MlicppConfig) -> None:
        n, m = config.channels, config.latent_channels
        super().__init__(
            convolution(m, n),
            nn.GELU(),
            convolution(n, n),
            nn.GELU(),
            convolution(n, n, stride=2),
            nn.GELU(),
            convolution(n, n),
            nn.GELU(),
            convolution(n, n, stride=2),
        )


class HyperSynthesis(nn.Sequential):
    """Predict from the hyper-latents what all slices begin with (``h_s``), in floating point.

    Training uses this; streams are coded with its fixed-point export. ``(N, N_channels, a, b)`` to
    ``(N, 2 M, 4 a, 4 b)``.
    """

    def __init__(self, config: MlicppConfig) -> None:
        n, m = config.channels, config.latent_channels
        wide = m * 3 // 2
        super().__init__(
            convolution(n, m),
            nn.GELU(),
            upsampling(m, m),
            nn.GELU(),
            convolution(m, wide),
            nn.GELU(),
            upsampling(wide, wide),
            nn.GELU(),
            convolution(wide, 2 * m),
        )
