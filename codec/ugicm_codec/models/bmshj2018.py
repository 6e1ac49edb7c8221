"""The scale hyperprior of Ballé et al. (ICLR 2018) with a view-conditioned synthesis (PCDM).

Signal flow (``*`` and ``/`` are the quality step's gains, outside the entropy path)::

    x -> g_a -> y -> * gain -> round -> y_hat --------> / gain -> g_s(view) -> x_hat
                        |               ^ table index
                        +-> h_a -> round -> z_hat -> h_s
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from ugicm_codec.models.backbone import BackboneConfig
from ugicm_codec.models.conditioning import Conditioned
from ugicm_codec.models.layers import GDN, deconvolution, downsampling, subpixel

__all__ = [
    "LATENT_STRIDE",
    "MARGIN",
    "PICTURE_WEIGHTS",
    "TILE_SIDE",
    "Analysis",
    "Bmshj2018Config",
    "ConditionalSynthesis",
    "HyperAnalysis",
    "HyperSynthesis",
    "Synthesis",
]

# Pixels of the picture per latent, and latents per hyper-latent, along each side.
LATENT_STRIDE = 16
HYPER_STRIDE = 4

# Latents around a tile that its result depends on: g_a reaches 30 pixels, less than 2 latents, and
# g_s less than 2 latents.
MARGIN: Final = 2

# Latents along a tile's side: pictures up to 2048x2048 are transformed whole.
TILE_SIDE: Final = 2048 // LATENT_STRIDE

# The analysis' weights that pixels are multiplied with.
PICTURE_WEIGHTS: Final = ("0.weight",)


@dataclass(frozen=True, kw_only=True)
class Bmshj2018Config(BackboneConfig):
    """The sizes that make one bmshj2018 network.

    CompressAI has N=128 and M=192, or N=192 and M=320 at high rates.
    """


class Analysis(nn.Sequential):
    """Turn a picture into latents (``g_a``).

    ``(N, 3, H, W)`` in [0, 1] to ``(N, M, ceil(H/16), ceil(W/16))``.
    """

    def __init__(self, config: Bmshj2018Config) -> None:
        n, m = config.channels, config.latent_channels
        super().__init__(
            downsampling(3, n),
            GDN(n),
            downsampling(n, n),
            GDN(n),
            downsampling(n, n),
            GDN(n),
            downsampling(n, m),
        )


class Synthesis(nn.Module):
    """Turn latents into a picture (``g_s``), for the one view that its weights are for."""

    def __init__(self, config: Bmshj2018Config) -> None:
        super().__init__()
        n, m = config.channels, config.latent_channels
        self.deconvolutions = nn.ModuleList(
            [deconvolution(m, n), deconvolution(n, n), deconvolution(n, n)]
        )
        self.output: nn.Module = deconvolution(n, 3, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(3, 1, 1))
        self.normalisations = nn.ModuleList([GDN(n, inverse=True) for _ in range(3)])

    def settle(self, precision: torch.dtype) -> None:
        """Make it faster where nothing is trained: an equal output layer, the rest in a precision.

        The last normalisation and the output stay in float32: bfloat16 loses most of its 0.03 dB
        there.
        """
        assert isinstance(self.output, nn.ConvTranspose2d)
        self.output = subpixel(self.output)
        self.deconvolutions.to(dtype=precision)
        self.normalisations[:-1].to(dtype=precision)

    def forward(self, y_hat: Tensor, terms: list[Tensor]) -> Tensor:
        """Reconstruct pictures.

        Args:
            y_hat: ``(N, M, h, w)``, latents divided by their gains.
            terms: what ``ConditionalSynthesis.terms`` returned for these pictures' views. The last
                one decides the precision from the last normalisation on: there, bfloat16 costs
                most.

        Returns:
            ``(N, 3, 16 h, 16 w)``, RGB, nominally in [0, 1]; not clamped.
        """
        x = y_hat
        last = len(self.normalisations) - 1
        for index, normalise in enumerate(self.normalisations):
            x = self.deconvolutions[index](x)
            x = x.add_(terms[index].to(x.dtype))
            x = normalise(x.to(terms[-1].dtype) if index == last else x)
        return self.output(x) + (self.output_bias + terms[-1])  # type: ignore[no-any-return]


class ConditionalSynthesis(Conditioned, Synthesis):
    """Turn latents into a picture for a view (``g_s`` with a PCDM in every block).

    The view's term is added to each transposed convolution's output, before the inverse GDN.
    """

    of_one_view = Synthesis

    def __init__(self, config: Bmshj2018Config) -> None:
        n = config.channels
        super().__init__(config, (n, n, n, 3))


class HyperAnalysis(nn.Sequential):
    """Summarise the latents' magnitudes (``h_a``).

    ``(N, M, h, w)`` scaled latents to ``(N, N_channels, ceil(h/4), ceil(w/4))``.
    """

    def __init__(self, config: Bmshj2018Config) -> None:
        n, m = config.channels, config.latent_channels
        super().__init__(
            nn.Conv2d(m, n, kernel_size=3, padding=1),
            nn.ReLU(),
            downsampling(n, n),
            nn.ReLU(),
            downsampling(n, n),
        )

    def forward(self, y: Tensor) -> Tensor:
        result: Tensor = super().forward(torch.abs(y))  # type: ignore[no-untyped-call]
        return result


class HyperSynthesis(nn.Sequential):
    """Predict the latents' scales from the hyper-latents (``h_s``), in floating point.

    Training uses this; streams are coded with its fixed-point export
    (``ugicm_codec.entropy.fixedpoint``). ``(N, N_channels, a, b)`` to ``(N, M, 4 a, 4 b)``, > 0
    only after the scale tables' lower bound.
    """

    def __init__(self, config: Bmshj2018Config) -> None:
        n, m = config.channels, config.latent_channels
        super().__init__(
            deconvolution(n, n),
            nn.ReLU(),
            deconvolution(n, n),
            nn.ReLU(),
            nn.Conv2d(n, m, kernel_size=3, padding=1),
        )
