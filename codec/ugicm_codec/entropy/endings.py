"""What becomes of a layer's sums: bits dropped, bounds kept, a function from a table applied."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from ugicm_codec.entropy.integers import gelu, half_tanh, rescale

__all__ = ["Ending", "Function"]


class Function(IntEnum):
    """What is applied to sums of ``GELU_BITS`` or ``TANH_BITS``; numbers are the kernels'."""

    NONE = 0
    GELU = 1
    HALF_TANH = 2


@dataclass(frozen=True)
class Ending:
    """Works on each number alone.

    Attributes:
        shift: bits dropped, with rounding, halves up; below 0, bits are added.
        low: what is smaller becomes this; at least -2**30 where a function follows.
        high: what is larger becomes this; at most 2**30 where a function follows.
        dtype: of the results, int16 or int32.
        function: applied then.
        narrow: bits that are dropped from what GELU returns, before it is bounded; from 0 to 30.
        limit: bound of what is left then, of either sign.
    """

    shift: int
    low: int
    high: int
    dtype: torch.dtype
    function: Function = Function.NONE
    narrow: int = 0
    limit: int = 0

    def __call__(self, sums: Tensor) -> Tensor:
        """Return the results of int64 or int32 sums, which may be overwritten."""
        # In place where it can be: nobody else has the sums.
        if self.shift > 0:
            rounded = sums.add_(1 << self.shift >> 1).bitwise_right_shift_(self.shift)
        else:
            rounded = rescale(sums, self.shift)
        bounded = rounded.clamp_(self.low, self.high)
        if self.function is Function.NONE:
            return bounded.to(self.dtype)
        if self.function is Function.HALF_TANH:
            return half_tanh(bounded.to(torch.int32)).to(self.dtype)
        activated = rescale(gelu(bounded.to(torch.int32)), self.narrow)
        return activated.clamp_(-self.limit, self.limit).to(self.dtype)
