"""Layers that the backbones share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "GDN",
    "deconvolution",
    "downsampling",
    "output_phases",
    "subpixel",
]


def downsampling(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Return the 5x5 convolution that halves height and width (rounding up)."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=5, stride=2, padding=2)


def deconvolution(in_channels: int, out_channels: int, *, bias: bool = True) -> nn.ConvTranspose2d:
    """Return the 5x5 transposed convolution that doubles height and width."""
    return nn.ConvTranspose2d(
        in_channels, out_channels, kernel_size=5, stride=2, padding=2, output_padding=1, bias=bias
    )


def output_phases(weight: Tensor) -> Tensor:
    """Write a 5x5 transposed convolution of stride 2 as 3x3 convolutions, one an output phase.

    Args:
        weight: ``(I, O, 5, 5)``.

    Returns:
        ``(3, 3, I, 2, 2, O)``: the 3x3 taps, and the phases (row, column) of the outputs; taps
        that a phase does not use are zero.
    """
    channels_in, channels_out = weight.shape[:2]
    phases = weight.new_zeros(3, 3, channels_in, 2, 2, channels_out)
    # Output 2 i + phase takes element phase + 4 - 2 tap of the kernel from input i + tap - 1.
    used = [(phase, tap, phase + 4 - 2 * tap) for phase in (0, 1) for tap in range(3)]
    used = [(phase, tap, element) for phase, tap, element in used if element < weight.shape[2]]
    for row, row_tap, row_element in used:
        for column, column_tap, column_element in used:
            phases[row_tap, column_tap, :, row, column] = weight[:, :, row_element, column_element]
    return phases


def subpixel(deconvolve: nn.ConvTranspose2d) -> nn.Sequential:
    """Return the same map as a convolution and a pixel shuffle: faster towards few channels."""
    phases = output_phases(deconvolve.weight.detach())
    channels_in, channels_out = deconvolve.weight.shape[:2]
    convolve = nn.Conv2d(channels_in, 4 * channels_out, kernel_size=3, padding=1, bias=False)
    weight = phases.permute(5, 3, 4, 2, 0, 1).reshape(convolve.weight.shape)
    convolve.load_state_dict({"weight": weight})
    return nn.Sequential(convolve, nn.PixelShuffle(2))


class GDN(nn.Module):
    """Normalise each position by a mixture of its channels' energies (Ballé et al., ICLR 2016).

    ``beta`` and ``gamma`` are the effective, non-negative values: training constrains them by a
    parametrization of its own (``ugicm_training.constraints``).
    """

    def __init__(self, channels: int, *, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.ones(channels))
        # Not eye(), which on the meta device imports PyTorch's compiler: over a second.
        self.gamma = nn.Parameter(torch.zeros(channels, channels).fill_diagonal_(0.1))

    def forward(self, x: Tensor) -> Tensor:
        gamma = self.gamma.to(x.dtype)[:, :, None, None]
        energy = functional.conv2d(x * x, gamma, self.beta.to(x.dtype))
        return x * (energy.sqrt_() if self.inverse else energy.rsqrt_())
