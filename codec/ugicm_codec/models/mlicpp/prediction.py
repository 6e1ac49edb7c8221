"""The convolutions of a slice: channel context, entropy parameters, residual prediction."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

__all__ = ["ChannelContext", "EntropyParameters", "ResidualPrediction", "residual_widths"]


class ChannelContext(nn.Sequential):
    """Turn earlier slices into what they say of this one (Minnen and Singh, ICIP 2020)."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], out_channels: int) -> None:
        super().__init__(*_activated([in_channels, *widths, out_channels], 3))


class EntropyParameters(nn.Sequential):
    """Join all contexts, position by position, into scales and means."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], out_channels: int) -> None:
        super().__init__(*_activated([in_channels, *widths, out_channels], 1))


class ResidualPrediction(nn.Module):
    """Predict what rounding took from a slice (Minnen and Singh, ICIP 2020)."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], out_channels: int) -> None:
        super().__init__()
        inner = widths or residual_widths(in_channels, out_channels)
        self.layers = nn.Sequential(*_activated([in_channels, *inner, out_channels], 3))

    def forward(self, known: Tensor) -> Tensor:
        """Return ``(N, O, H, W)`` within half a step, of all that is known so far."""
        return 0.5 * torch.tanh(self.layers(known))


def residual_widths(in_channels: int, out_channels: int) -> tuple[int, ...]:
    """Return the inner widths of the layout of 2023: a quarter of the way at each layer."""
    apart = abs(in_channels - out_channels)
    return tuple(in_channels - apart * quarters // 4 for quarters in (1, 2, 3))


def _activated(widths: list[int], kernel: int) -> list[nn.Module]:
    """Return convolutions from width to width, with GELU between them."""
    layers: list[nn.Module] = []
    for in_channels, out_channels in itertools.pairwise(widths):
        if layers:
            layers.append(nn.GELU())
        same = kernel // 2
        layers.append(nn.Conv2d(in_channels, out_channels, kernel_size=kernel, padding=same))
    return layers
