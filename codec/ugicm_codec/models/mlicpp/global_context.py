"""What the whole picture tells: attention at linear cost, from earlier slices and within one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ugicm_codec.models.mlicpp.checkerboard import anchors, at_anchors, at_nonanchors

__all__ = ["GlobalInterContext", "GlobalIntraContext", "linear_attention"]

_INTRA_HEADS = 2


def linear_attention(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """Attend from every query to all keys at a cost linear in both (Shen et al., WACV 2021).

    Keys are normalised over their positions, queries over their channels, so that the products of
    keys and values are summed once for all queries.

    Args:
        queries: ``(N, C, P)``.
        keys: ``(N, C, S)``; without any the result is 0.
        values: ``(N, C, S)``.
        heads: groups of consecutive channels.

    Returns:
        ``(N, C, P)``.
    """
    q, k, v = (each.unflatten(1, (heads, -1)) for each in (queries, keys, values))
    summary = k.softmax(dim=-1) @ v.transpose(-2, -1)
    attended: Tensor = summary.transpose(-2, -1) @ q.softmax(dim=-2)
    return attended.flatten(1, 2)


class GlobalInterContext(nn.Module):
    """Attend over the picture to find what earlier slices say alike; one head for each slice."""

    def __init__(self, channels: int, heads: int, out_channels: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries, self.keys, self.values = (_embedding(channels) for _ in range(3))
        wide = out_channels * 3 // 2
        self.reprojection = nn.Conv2d(channels, wide, kernel_size=5, padding=2)
        self.mlp = _mlp(wide, 2 * out_channels, out_channels)
        self.skip = nn.Conv2d(wide, out_channels, kernel_size=1)

    def forward(self, earlier: Tensor) -> Tensor:
        """Return ``(N, out_channels, H, W)`` of the earlier slices, ``(N, C, H, W)``."""
        queries, keys, values = (
            embed(earlier).flatten(2) for embed in (self.queries, self.keys, self.values)
        )
        attended = linear_attention(queries, keys, values, self.heads).view_as(earlier)
        joined = self.reprojection(attended)
        return self.skip(joined) + self.mlp(joined)  # type: ignore[no-any-return]


class GlobalIntraContext(nn.Module):
    """Attend from non-anchors to this slice's anchors, as the slice before tells."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.queries, self.keys, self.values = (_embedding(channels) for _ in range(3))
        wide = 2 * channels
        self.reprojection = nn.Conv2d(channels, wide, kernel_size=5, padding=2)
        self.mlp = _mlp(wide, 2 * wide, wide)

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        """Return ``(N, 2 C, H, W)``.

        Args:
            previous: ``(N, C, H, W)``, the slice before, whole.
            current: ``(N, C, H, W)``, this slice, zero at non-anchors.
        """
        board = anchors(current).flatten()
        queries = self.queries(at_nonanchors(previous)).flatten(2)[..., ~board]
        keys = self.keys(at_anchors(previous)).flatten(2)[..., board]
        values = self.values(current).flatten(2)[..., board]
        attended = torch.zeros_like(current).flatten(2)
        attended[..., ~board] = linear_attention(queries, keys, values, _INTRA_HEADS)
        joined = self.reprojection(attended.view_as(current))
        return joined + self.mlp(joined)  # type: ignore[no-any-return]


def _embedding(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, kernel_size=1), _depthwise(channels))


def _mlp(in_channels: int, inner: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, inner, kernel_size=1),
        nn.GELU(),
        _depthwise(inner),
        nn.GELU(),
        nn.Conv2d(inner, out_channels, kernel_size=1),
    )


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels)
