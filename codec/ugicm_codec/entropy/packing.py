"""Convolutions of 7-bit digits by oneDNN, with weights in the order that this processor reads.

The operations are those that PyTorch's quantised networks run on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["DIGIT_ZERO", "PackedWeight"]

# Digits of activations, from -64 to 63, enter without a sign: so much is added.
DIGIT_ZERO = 64

_LARGEST_BYTE = 127
# Sums are returned as floats: they are exact below this bound.
_FLOAT32_EXACT = 2**24


# Smaller weights are packed for each size of map: bringing one into the order that a size
# wants takes longer than such a layer.
_SMALL_BYTES = 2**20
_KEPT_SIZES = 8

_Size = tuple[int, int, int]


class PackedWeight:
    """A convolution of stride 1 among zeros; safe to share between threads."""

    def __init__(self, weight: Tensor, kernel: int) -> None:
        """Take ``(kernel**2 * C, O)`` int8.

        Raises:
            ValueError: a sum might be rounded.
            NotImplementedError: this PyTorch lacks the operations.
        """
        for name in ("qconv_prepack", "qconv2d_pointwise"):
            if not hasattr(torch.ops.onednn, name):
                raise NotImplementedError(f"PyTorch {torch.__version__} has no onednn::{name}")
        wide = weight.long()
        above, below = wide.clamp(min=0).sum(0), wide.clamp(max=0).sum(0).neg()
        # With and without what is added to digits; oneDNN may convert either.
        largest = max(
            int(torch.maximum(above, below).max()) * _LARGEST_BYTE,
            int((above + below).max()) * DIGIT_ZERO,
        )
        if largest >= _FLOAT32_EXACT:
            raise ValueError(f"sums reach {largest}, the limit is 2**24")
        columns = weight.shape[1]
        self._scales = torch.ones(columns)
        self._zeros = torch.zeros(columns, dtype=torch.int64)
        self._reach = kernel // 2
        planes = weight.view(kernel, kernel, -1, columns).permute(3, 2, 0, 1).contiguous()

        def pack(size: _Size | None) -> Tensor:
            shape = None if size is None else [size[0], planes.shape[1], *size[1:]]
            packed: Tensor = torch.ops.onednn.qconv_prepack(
                *(planes, self._scales, 1.0, DIGIT_ZERO),
                *([1, 1], [self._reach] * 2, [1, 1], 1, shape),
            )
            return packed

        self._packed_for: Callable[[_Size | None], Tensor]
        if weight.numel() < _SMALL_BYTES:
            self._packed_for = functools.lru_cache(_KEPT_SIZES)(pack)
        else:
            packed = pack(None)
            self._packed_for = lambda _: packed

    @property
    def columns(self) -> int:
        """Channels of the sums."""
        return len(self._scales)

    def convolve(self, digits: Tensor) -> Tensor:
        """Return the sums, ``(N, H, W, O)`` float32, for digits ``(N, H, W, C)`` uint8."""
        batch, height, width, _ = digits.shape
        sums: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *(digits.permute(0, 3, 1, 2), 1.0, DIGIT_ZERO),
            *(self._packed_for((batch, height, width)), self._scales, self._zeros, None),
            *([1, 1], [self._reach] * 2, [1, 1], 1),
            *(1.0, 0, torch.float32, "none", [], ""),
        )
        return sums.permute(0, 2, 3, 1).contiguous()
