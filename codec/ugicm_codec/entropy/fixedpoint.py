"""Runs the networks between coded symbols and table indexes on integers, equal on every machine.

Float networks round differently from one machine, thread count or batch to the next, and one
different table index ruins the rest of a stream (Ballé et al., ICLR 2019). Here every product is
an exact integer: activations and weights are bounded, sums stay below what the arithmetic holds
exactly in any order, and rescaling is by powers of two.

One layer is a convolution of stride 1, defined as gather and matrix product; doubling resolution
is the same layer with four times the channels, moved into space (a transposed 5x5 convolution of
stride 2 has exactly this form). What networks have beside products stands in ``integers`` and
``attention``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from ugicm_codec.entropy.endings import Ending
from ugicm_codec.entropy.packing import PackedWeight

__all__ = [
    "ACTIVATION_LIMIT",
    "FLOAT64_EXACT",
    "WEIGHT_LIMIT",
    "Finish",
    "FixedPointLayer",
    "FixedPointNetwork",
    "Product",
    "convolve",
    "split_digits",
]

# Two signed digits of 7 bits, 128 a + b with a and b in [-64, 63], reach from -8256 to 8127.
ACTIVATION_LIMIT = 8127
WEIGHT_LIMIT = 8127

# Sums of products must stay below this bound to be exact in float64 in any order.
FLOAT64_EXACT = 2**53

# Works on each sum alone.
Finish = Callable[[Tensor], Tensor]


class Product(Protocol):
    """A way to multiply: equal to every other where it is exact (``products``)."""

    @property
    def __name__(self) -> str: ...

    def __call__(
        self, parts: Sequence[Tensor], layer: FixedPointLayer, finish: Finish, at: Tensor | None
    ) -> Tensor:
        """Return ``(N, P, columns)``, what ``finish`` makes of the sums at some positions or all.

        Arguments are those of ``convolve``.
        """


@dataclass(frozen=True, eq=False)
class FixedPointLayer:
    """One integer convolution.

    Attributes:
        weight: ``(kernel**2 * in_channels, columns)`` int16, taps in raster order outermost;
            columns are ``out_channels``, or ``4 * out_channels`` ordered (row, column, channel)
            when upsampling.
        bias: ``(columns,)`` int64, in units of the products.
        shift: bits dropped, with rounding, from products to get activations; the last layer's
            products are used as they are, and its shift is 0. Below 0, bits are added.
        upsample: whether the output has twice the height and width.
        kernel: odd height and width of the neighbourhood that is gathered.
    """

    weight: Tensor
    bias: Tensor
    shift: int
    upsample: bool
    kernel: int = 3

    @classmethod
    def build(
        cls, *, weight: Tensor, bias: Tensor, shift: int, upsample: bool, kernel: int = 3
    ) -> FixedPointLayer:
        """Check the bounds that make the layer exact.

        Raises:
            ValueError: a weight is too large, or a sum could leave what float64 holds exactly.
        """
        rows, columns = weight.shape
        if rows % kernel**2 or bias.shape != (columns,) or columns % (4 if upsample else 1):
            raise ValueError(f"a layer of {rows}x{columns} has no form")
        heaviest = int(weight.long().abs().max())
        if heaviest > WEIGHT_LIMIT:
            raise ValueError(f"weights go up to {WEIGHT_LIMIT}, got {heaviest}")
        layer = cls(weight=weight, bias=bias, shift=shift, upsample=upsample, kernel=kernel)
        if layer._largest << max(0, -shift) >= FLOAT64_EXACT or not -53 < shift < 53:
            raise ValueError(
                f"sums reach {layer._largest} with shift {shift}, the limits are 2**53 and 53"
            )
        return layer

    # A layer is multiplied in one way: the others' forms of its weight would only take memory.
    @cached_property
    def digits(self) -> Tensor:
        """The weight's high, then low 7-bit digits, ``(rows, 2 * columns)`` int8.

        A weight of one digit, from -64 to 63, has the low ones alone: half the work.
        """
        return self._split()

    @cached_property
    def weight64(self) -> Tensor:
        """The weight in float64."""
        return self.weight.to(torch.float64)

    @cached_property
    def bias64(self) -> Tensor:
        """The bias in float64."""
        return self.bias.to(torch.float64)

    @cached_property
    def packed(self) -> PackedWeight | None:
        """The weight for oneDNN: as it is where it has 8 bits, else as ``digits``.

        None where sums might be rounded in the floats that they pass through.
        """
        half = 1 << max(0, self.shift) >> 1
        if self._largest + half >= FLOAT64_EXACT:
            return None
        is_byte = int(self.weight.min()) >= -128 and int(self.weight.max()) <= 127
        forms = [lambda: self.weight.to(torch.int8), self._split] if is_byte else [self._split]
        for form in forms:
            with suppress(ValueError):
                return PackedWeight(form(), self.kernel)
        return None

    def _split(self) -> Tensor:
        high, low = split_digits(self.weight)
        return torch.cat([high, low], dim=1) if bool(high.any()) else low.contiguous()

    @cached_property
    def _largest(self) -> int:
        """What sums stay within."""
        # In 64 bits and in Python: a type's least value has no absolute value of that type.
        largest_bias = max(int(self.bias.max()), -int(self.bias.min()))
        return int(self.weight.long().abs().sum(0).max()) * ACTIVATION_LIMIT + largest_bias

    @cached_property
    def activate(self) -> Ending:
        """Turns sums into the next layer's activations: rounded, halves up, rectified."""
        return Ending(shift=self.shift, low=0, high=ACTIVATION_LIMIT, dtype=torch.int16)

    def to(self, device: torch.device) -> FixedPointLayer:
        """Return the layer on ``device``."""
        return replace(self, weight=self.weight.to(device), bias=self.bias.to(device))


class FixedPointNetwork:
    """A chain of fixed-point layers with rectified activations between them."""

    def __init__(self, layers: Sequence[FixedPointLayer], product: Product) -> None:
        """Take layers that drop bits, as docs/bitstream.md has it.

        Raises:
            ValueError: a layer adds bits.
        """
        if (least := min(layer.shift for layer in layers)) < 0:
            raise ValueError(f"shifts between layers are from 0 to 52, got {least}")
        self._layers = tuple(layers)
        self._product = product

    def __call__(self, values: Tensor, finish: Finish) -> Tensor:
        """Run the network.

        Args:
            values: ``(N, H, W, C)`` int16.
            finish: applied to the last layer's sums, int64, some rows at a time, so that they
                never stand in memory whole; works on each number alone.

        Returns:
            ``(N, s H, s W, O)`` of what ``finish`` returns; ``s`` is 2 to the number of
            upsampling layers.
        """
        x = values.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        for layer in self._layers[:-1]:
            x = convolve([x], layer, self._product, layer.activate)
        return convolve([x], self._layers[-1], self._product, finish)


def convolve(
    parts: Sequence[Tensor],
    layer: FixedPointLayer,
    product: Product,
    finish: Finish,
    at: Tensor | None = None,
) -> Tensor:
    """Run one layer on ``(N, H, W, C)`` int16, or parts of it side by side; zeros lie around.

    Args:
        finish: applied to sums, int64, some rows at a time; works on each number alone.
        at: ``(P,)``, the positions (row times W plus column) that are wanted; all, unless given.

    Returns:
        ``(N, s H, s W, O)`` of what ``finish`` returns, ``s`` being 2 where the layer upsamples;
        ``(N, P, O)`` with ``at``.
    """
    batch, height, width, _ = parts[0].shape
    columns = len(layer.bias)
    out = product(parts, layer, finish, at)
    if at is not None:
        return out
    if not layer.upsample:
        return out.view(batch, height, width, columns)
    spread = out.view(batch, height, width, 2, 2, columns // 4).permute(0, 1, 3, 2, 4, 5)
    return spread.reshape(batch, 2 * height, 2 * width, columns // 4)


def split_digits(values: Tensor) -> Tensor:
    """Return the high, then low 7-bit digits of int16, ``(2, ...)`` int8."""
    low = ((values + 64) & 127) - 64
    return torch.stack([((values - low) >> 7).to(torch.int8), low.to(torch.int8)])
