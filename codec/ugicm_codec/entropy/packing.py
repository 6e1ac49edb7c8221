"""Convolutions of 7-bit digits by oneDNN, with weights in the order that this processor reads.

The operations are those that PyTorch's quantised networks run on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["DIGIT_ZERO", "PackedWeight"]

# Digits of activations, from -64 to 63, enter without a sign: so much is added.
DIGIT_ZERO = 64

_LARGEST_BYTE = 127
# Sums are returned as floats: they are exact below this bound.
_FLOAT32_EXACT = 2**24


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A convolution of stride 1 among zeros."""

    weight: Tensor
    scales: Tensor
    zeros: Tensor
    reach: int

    @classmethod
    def pack(cls, weight: Tensor, kernel: int) -> PackedWeight | None:
        """Take ``(kernel**2 * C, O)`` int8, or return None where a sum might be rounded."""
        wide = weight.long()
        above, below = wide.clamp(min=0).sum(0), wide.clamp(max=0).sum(0).neg()
        # With and without what is added to digits; oneDNN may convert either.
        largest = max(
            int(torch.maximum(above, below).max()) * _LARGEST_BYTE,
            int((above + below).max()) * DIGIT_ZERO,
        )
        if largest >= _FLOAT32_EXACT:
            return None
        columns, reach = weight.shape[1], kernel // 2
        scales, zeros = torch.ones(columns), torch.zeros(columns, dtype=torch.int64)
        planes = weight.view(kernel, kernel, -1, columns).permute(3, 2, 0, 1).contiguous()
        packed = torch.ops.onednn.qconv_prepack(
            planes, scales, 1.0, DIGIT_ZERO, [1, 1], [reach, reach], [1, 1], 1, None
        )
        return cls(packed, scales, zeros, reach)

    def convolve(self, digits: Tensor) -> Tensor:
        """Return the sums, ``(N, H, W, O)`` float32, for digits ``(N, H, W, C)`` uint8."""
        maps = digits.permute(0, 3, 1, 2)
        sums: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *(maps, 1.0, DIGIT_ZERO, self.weight, self.scales, self.zeros, None),
            *([1, 1], [self.reach, self.reach], [1, 1], 1),
            *(1.0, 0, torch.float32, "none", [], ""),
        )
        return sums.permute(0, 2, 3, 1).contiguous()
