"""Attention on integers: every sum exact, every quotient rounded alike on every machine.

Sums of products are taken in float64, where each partial sum is an integer below 2**53.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ugicm_codec.entropy.checkerboard import WINDOW, Checkerboard
from ugicm_codec.entropy.integers import divide, exponentials

__all__ = ["LOGIT_LIMIT", "MASKED", "MAX_POSITIONS", "attend_globally", "attend_locally"]

# Sums over positions of 14-bit values times weights of 20 bits stay below 2**53.
MAX_POSITIONS = 2**18

# A mean over all positions is kept this much finer than the values it is a mean of.
_MEAN_BITS = 4

# Elements of one chunk's attention weights.
_CHUNK_ELEMENTS = 2**22

# Logits end here; what is masked lies below them, far from the end of int32.
LOGIT_LIMIT = 2**29
MASKED = -(2**30)


def attend_globally(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """Attend with a cost linear in the positions (Shen et al., WACV 2021).

    Keys are normalised over the positions, queries over each head's channels.

    Args:
        queries: ``(N, P, C)`` logits.
        keys: ``(N, Q, C)`` logits.
        values: ``(N, Q, C)`` int16; at most ``MAX_POSITIONS`` positions.

    Returns:
        ``(N, P, C)`` int16, of the bits of ``values``; zeros where there are no keys.
    """
    batch, wanted, channels = queries.shape
    if keys.shape[1] == 0:
        return torch.zeros((batch, wanted, channels), dtype=torch.int16, device=queries.device)
    of_head = (heads, channels // heads)
    key_weights = exponentials(keys, dim=1)
    spread_keys = key_weights.view(batch, -1, *of_head).permute(0, 2, 3, 1)
    spread_values = values.view(batch, -1, *of_head).permute(0, 2, 1, 3)
    sums = (spread_keys.to(torch.float64) @ spread_values.to(torch.float64)).to(torch.int64)
    totals = key_weights.sum(1, dtype=torch.int64).view(batch, *of_head, 1)
    means = divide(sums << _MEAN_BITS, totals)
    query_weights = exponentials(queries.view(batch, wanted, *of_head), dim=3).permute(0, 2, 1, 3)
    mixed = query_weights.to(torch.float64) @ means.to(torch.float64)
    shares = query_weights.sum(3, keepdim=True, dtype=torch.int64) << _MEAN_BITS
    # As ``divide``: a quotient of integers below 2**53 that is none lies further from one than
    # the division rounds by.
    doubled = shares.to(torch.float64).mul_(2.0)
    attended = mixed.mul_(2.0).add_(shares).div_(doubled).floor_().to(torch.int16)
    return attended.permute(0, 2, 1, 3).reshape(batch, wanted, channels)


def attend_locally(qkv: Tensor, position_bias: Tensor, shift: int, board: Checkerboard) -> Tensor:
    """Attend within the window about each position that is no anchor.

    Args:
        qkv: ``(N, h, w, 3 C)`` int16, queries, keys and values; within each, channel d x heads +
            head. Outside the picture all three are zero.
        position_bias: ``(heads, 25, 25)`` int64, added to the products of query and key.
        shift: bits that these sums have beyond those of logits.

    Returns:
        ``(N, B, 25 C)`` int16: what each neighbour in the window attends to, neighbours in raster
        order, within each channel head x C / heads + d; of the bits of ``qkv``.
    """
    batch, channels = len(qkv), qkv.shape[3] // 3
    heads, size, margin = len(position_bias), WINDOW**2, WINDOW // 2
    padded = functional.pad(qkv, (0, 0, margin, margin, margin, margin)).to(torch.float64)
    # Brought into the products' order before each position is gathered 25 times.
    places = padded.view(batch, -1, 3, channels // heads, heads).permute(2, 4, 0, 1, 3)
    places = places.contiguous()
    biases = position_bias[:, None, None]
    at_once = max(1, _CHUNK_ELEMENTS // (batch * heads * size * size))
    parts = []
    for window, attends in zip(
        board.windows.split(at_once), board.attends.split(at_once), strict=True
    ):
        around = places.index_select(3, window.flatten())
        # Each (heads, N, positions, 25, C / heads).
        query, key, value = around.view(3, heads, batch, len(window), size, -1)
        sums = (query @ key.transpose(-2, -1)).add_(biases)
        # As ``rescale``, on integers that stand in floats already: scaling and floors are exact.
        rounded = sums.add_(2.0 ** (shift - 1) if shift > 0 else 0.0).mul_(2.0**-shift).floor_()
        logits = rounded.clamp_(-LOGIT_LIMIT, LOGIT_LIMIT).to(torch.int32)
        logits.masked_fill_(~attends, MASKED)
        weights = exponentials(logits, dim=-1).to(torch.float64)
        totals = weights.sum(-1, keepdim=True)
        attended = divide((weights @ value).to(torch.int64), totals.to(torch.int64))
        part = attended.to(torch.int16).permute(1, 2, 3, 0, 4)
        parts.append(part.reshape(batch, -1, size * channels))
    return torch.cat(parts, dim=1)
