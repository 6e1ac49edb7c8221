"""The residual blocks of MLIC++'s transforms (after Cheng et al., CVPR 2020, with GELU)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ugicm_codec.models.layers import GDN

__all__ = [
    "ResidualBlock",
    "ResidualDownsampling",
    "ResidualUpsampling",
    "convolution",
    "upsampling",
]


def convolution(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Conv2d:
    """Return the 3x3 convolution that keeps height and width, or divides them (rounding up)."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)


def upsampling(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return the sub-pixel convolution that doubles height and width."""
    return nn.Sequential(convolution(in_channels, 4 * out_channels), nn.PixelShuffle(2))


class ResidualBlock(nn.Module):
    """Two convolutions beside a skip; the place of PCDM in the synthesis."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = convolution(in_channels, out_channels)
        self.second = convolution(out_channels, out_channels)
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor, terms: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return ``(N, O, h, w)``; a view's terms are added after either activation."""
        inner = functional.gelu(self.first(x))
        if terms is not None:
            inner = inner.add_(terms[0].to(inner.dtype))
        inner = functional.gelu(self.second(inner))
        if terms is not None:
            inner = inner.add_(terms[1].to(inner.dtype))
        return inner.add_(self.skip(x))


class ResidualDownsampling(nn.Module):
    """Halve height and width (rounding up), and normalise."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = convolution(in_channels, out_channels, stride=2)
        self.second = convolution(out_channels, out_channels)
        self.normalise = GDN(out_channels)
        self.skip = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.normalise(self.second(functional.gelu(self.first(x))))
        # Not a stride of the convolution: PyTorch 2.13's gradient of that, for 3 channels in
        # channels_last on a CPU, writes past its memory.
        return inner.add_(self.skip(x[..., ::2, ::2]))


class ResidualUpsampling(nn.Module):
    """Double height and width, and undo a normalisation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = upsampling(in_channels, out_channels)
        self.second = convolution(out_channels, out_channels)
        self.normalise = GDN(out_channels, inverse=True)
        self.skip = upsampling(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.normalise(self.second(functional.gelu(self.first(x))))
        return inner.add_(self.skip(x))
