"""What a slice's anchors tell of their neighbours: attention within windows of 5x5."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ugicm_codec.models.mlicpp.checkerboard import anchors

__all__ = ["LocalContext"]

_WINDOW = 5
_HEADS = 2

# Added to the logits of what a position does not look at.
_NOT_SEEN = -100.0


class LocalContext(nn.Module):
    """Attend from each position of a window to the anchors in it (MLIC++'s checkerboard attention).

    A window is centred on every position; a convolution as large as the window makes one
    vector of the attention's 25. Queries that are no anchors see the whole window, as in the
    published code: there the mask takes the same from all their logits.
    """

    position_index: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.norm_in = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.position_bias = nn.Parameter(torch.empty((2 * _WINDOW - 1) ** 2, _HEADS))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        self.fusion = nn.Conv2d(channels, wide, kernel_size=_WINDOW)
        self.projection = nn.Linear(wide, wide)
        self.norm_out = nn.LayerNorm(wide)
        self.mlp = nn.Sequential(nn.Linear(wide, 2 * wide), nn.GELU(), nn.Linear(2 * wide, wide))
        self.register_buffer("position_index", _position_index(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(N, 2 C, H, W)`` of a slice ``(N, C, H, W)`` that is zero at non-anchors."""
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm_in(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        # (N, L, heads, 25, C / heads) each; the heads alternate along the channels.
        q, k, v = (
            part.view(batch, -1, _HEADS, _WINDOW**2, height * width).permute(0, 4, 2, 3, 1)
            for part in _windows(qkv)
            .view(batch, 3, channels, _WINDOW**2, -1)
            .unflatten(2, (channels // _HEADS, _HEADS))
            .unbind(1)
        )
        logits = (q * (channels // _HEADS) ** -0.5) @ k.transpose(-2, -1)
        bias = self.position_bias[self.position_index].permute(2, 0, 1)
        attention = torch.softmax(logits + bias + self._mask(x), dim=-1)
        # (N, L, heads, 25, C / heads) to (N L, C, 5, 5): now one head's channels after the other's.
        attended = (attention @ v).permute(0, 1, 2, 4, 3)
        fused = self.fusion(attended.reshape(-1, channels, _WINDOW, _WINDOW))
        out = self.projection(fused.view(batch, height, width, 2 * channels))
        out = out + self.mlp(self.norm_out(out))
        return out.permute(0, 3, 1, 2)  # type: ignore[no-any-return]

    def _mask(self, x: Tensor) -> Tensor:
        """Return ``(L, 1, 25, 25)``: 0 where both query and key are anchors of the picture."""
        board = anchors(x).to(x.dtype)[None, None]
        inside = _windows(board)[0].T
        seen = inside[:, :, None] * inside[:, None, :]
        return (1.0 - seen)[:, None] * _NOT_SEEN


def _windows(features: Tensor) -> Tensor:
    """Return ``(N, C * 25, H * W)``: the window around each position, zeros outside."""
    return functional.unfold(features, _WINDOW, padding=_WINDOW // 2)


def _position_index() -> Tensor:
    """Return ``(25, 25)``: the row of the bias table for each query and key of a window."""
    place = torch.arange(_WINDOW)
    apart = place[:, None] - place + _WINDOW - 1
    rows, columns = apart[:, None, :, None], apart[None, :, None, :]
    return (rows * (2 * _WINDOW - 1) + columns).reshape(_WINDOW**2, _WINDOW**2)
