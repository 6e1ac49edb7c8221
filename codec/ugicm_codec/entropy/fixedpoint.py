"""Runs the networks between coded symbols and table indexes on integers, equal on every machine.

Float networks round differently from one machine, thread count or batch to the next, and one
different table index ruins the rest of a stream (Ballé et al., ICLR 2019). Here every product is
an exact integer: activations and weights are bounded, sums stay below what the arithmetic holds
exactly in any order, and rescaling is by powers of two.

One layer is a convolution of stride 1, as gather and matrix product; doubling the resolution is the
same layer with four times the channels, moved into space (a transposed 5x5 convolution of stride 2
has exactly this form). What networks have beside products stands in ``integers`` and ``attention``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from ugicm_codec.entropy import kernels
from ugicm_codec.entropy.endings import Ending
from ugicm_codec.errors import InexactArithmetic

__all__ = [
    "ACTIVATION_LIMIT",
    "WEIGHT_LIMIT",
    "FixedPointLayer",
    "FixedPointNetwork",
    "Product",
    "convolve",
    "exact_product",
    "float64_product",
    "int8_product",
]

# Two signed digits of 7 bits, 128 a + b with a and b in [-64, 63], reach from -8256 to 8127.
ACTIVATION_LIMIT = 8127
WEIGHT_LIMIT = 8127

# Rows of a gathered matrix are processed in chunks of about this many elements.
_CHUNK_ELEMENTS = 2**23
# Sums of products must stay below this bound to be exact in float64 in any order.
_FLOAT64_EXACT = 2**53
# The same for int32 sums of products of 7-bit digits, two of which are added.
_INT8_MAX_DEPTH = 2**30 // 64**2
# CUDA's int8 product refuses fewer rows.
_INT8_MIN_ROWS = 17

Product = Callable[[Tensor, "FixedPointLayer"], Tensor]


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
        # In 64 bits and in Python: a type's least value has no absolute value of that type.
        magnitudes = weight.long().abs()
        if int(magnitudes.max()) > WEIGHT_LIMIT:
            raise ValueError(f"weights go up to {WEIGHT_LIMIT}, got {int(magnitudes.max())}")
        largest_bias = max(int(bias.max()), -int(bias.min()))
        largest = int(magnitudes.sum(0).max()) * ACTIVATION_LIMIT + largest_bias
        if largest << max(0, -shift) >= _FLOAT64_EXACT or not -53 < shift < 53:
            raise ValueError(
                f"sums reach {largest} with shift {shift}, the limits are 2**53 and 53"
            )
        return cls(weight=weight, bias=bias, shift=shift, upsample=upsample, kernel=kernel)

    # A layer is multiplied in one way: the other's form of its weight would only take memory.
    @cached_property
    def digits(self) -> Tensor:
        """The weight's high, then low 7-bit digits, ``(rows, 2 * columns)`` int8.

        A weight of one digit, from -64 to 63, has the low ones alone: half the work.
        """
        high, low = _digits(self.weight)
        return torch.cat([high, low], dim=1) if bool(high.any()) else low.contiguous()

    @cached_property
    def weight64(self) -> Tensor:
        """The weight in float64."""
        return self.weight.to(torch.float64)

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

    def __call__(self, values: Tensor, finish: Callable[[Tensor], Tensor]) -> Tensor:
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
    finish: Callable[[Tensor], Tensor],
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
    depth, columns = layer.weight.shape
    by_digits = product is int8_product
    positions_at_once = max(1, _CHUNK_ELEMENTS // max(1, batch * depth))
    if by_digits and parts[0].device.type == "cpu":
        wanted = torch.arange(height * width) if at is None else at
        chunks: Iterator[Tensor] = (
            kernels.gather_digits(parts, layer.kernel, some)
            for some in wanted.split(positions_at_once)
        )
    else:
        chunks = _gather(parts, layer.kernel, by_digits, positions_at_once, at)
    results = []
    for rows in chunks:
        if by_digits:
            result = _finish_digits(rows, layer, finish)
        else:
            result = finish(product(rows[0], layer).add_(layer.bias))
        results.append(result.view(batch, -1, columns))
    out = results[0] if len(results) == 1 else torch.cat(results, dim=1)
    if at is not None:
        return out
    if not layer.upsample:
        return out.view(batch, height, width, columns)
    spread = out.view(batch, height, width, 2, 2, columns // 4).permute(0, 1, 3, 2, 4, 5)
    return spread.reshape(batch, 2 * height, 2 * width, columns // 4)


def _gather(
    parts: Sequence[Tensor], kernel: int, by_digits: bool, at_once: int, at: Tensor | None
) -> Iterator[Tensor]:
    """Yield neighbourhoods, ``(D, N * P, K)``: of whole numbers, or of high and low digits."""
    whole = parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=3)
    width, reach = whole.shape[2], kernel // 2
    padded = functional.pad(whole, (0, 0, reach, reach, reach, reach)).contiguous()
    # Split before they are gathered: each number is gathered many times.
    windows = _windows(_digits(padded) if by_digits else padded[None], kernel)
    if at is None:
        chunks = windows.split(max(1, at_once // max(1, width)), dim=2)
    else:
        chunks = tuple(windows[:, :, some // width, some % width] for some in at.split(at_once))
    for chunk in chunks:
        yield chunk.reshape(len(windows), -1, kernel**2 * whole.shape[3])


def _windows(planes: Tensor, kernel: int) -> Tensor:
    """View ``(D, N, H, W, C)`` as ``(D, N, H', W', kernel, kernel * C)``, without its margin."""
    *lead, height, width, channels = planes.shape
    reach = kernel - 1
    size = (*lead, height - reach, width - reach, kernel, kernel * channels)
    # Within a window's row, the channels of neighbouring columns stand side by side.
    return planes.as_strided(size, (*planes.stride()[:4], width * channels, 1))


def float64_product(gathered: Tensor, layer: FixedPointLayer) -> Tensor:
    """Multiply exactly in float64: every partial sum is an integer below 2**53."""
    return (gathered.to(torch.float64) @ layer.weight64).to(torch.int64)


def int8_product(gathered: Tensor, layer: FixedPointLayer) -> Tensor:
    """Multiply exactly by 7-bit digits in int8 with int32 sums.

    Operands stay in [-64, 63]: with all 8 bits some instruction sets saturate pairs of products.
    """
    return _combine_digits(_multiply_digits(_digits(gathered), layer), layer)


def _digits(values: Tensor) -> Tensor:
    """Return the high, then low 7-bit digits of int16, ``(2, ...)`` int8."""
    low = ((values + 64) & 127) - 64
    return torch.stack([((values - low) >> 7).to(torch.int8), low.to(torch.int8)])


def _multiply_digits(planes: Tensor, layer: FixedPointLayer) -> Tensor:
    """Return the products, int32, of ``(2, R, K)``: rows of high digits, then of low ones."""
    # One product for both: the weight is brought into the product's own order once.
    rows = planes.flatten(0, 1)
    if len(rows) < _INT8_MIN_ROWS:
        padded = functional.pad(rows, (0, 0, 0, _INT8_MIN_ROWS - len(rows)))
        return torch._int_mm(padded, layer.digits)[: len(rows)]
    return torch._int_mm(rows, layer.digits)


def _combine_digits(products: Tensor, layer: FixedPointLayer) -> Tensor:
    """Return the sums, int64, that products of digits stand for."""
    high, low = products.chunk(2)
    columns = len(layer.bias)
    if layer.digits.shape[1] == columns:
        return high.to(torch.int64).mul_(128).add_(low)
    middle = high[:, columns:] + low[:, :columns]
    sums = high[:, :columns].to(torch.int64).mul_(128).add_(middle)
    return sums.mul_(128).add_(low[:, columns:])


def _finish_digits(
    planes: Tensor, layer: FixedPointLayer, finish: Callable[[Tensor], Tensor]
) -> Tensor:
    products = _multiply_digits(planes, layer)
    if products.device.type == "cpu" and isinstance(finish, Ending):
        return kernels.finish_products(products, layer.bias, finish)
    return finish(_combine_digits(products, layer).add_(layer.bias))


def exact_product(layers: Sequence[FixedPointLayer], candidates: Sequence[Product]) -> Product:
    """Return the first candidate that is exact for these layers on their device.

    Raises:
        InexactArithmetic: none is.
    """
    for product in candidates:
        if all(_is_exact(product, layer) for layer in layers):
            return product
    raise InexactArithmetic("no matrix product of this machine is exact")


def _is_exact(product: Product, layer: FixedPointLayer) -> bool:
    depth = layer.weight.shape[0]
    if product is int8_product and depth > _INT8_MAX_DEPTH:
        return False
    # Extremes of both signs in every position, and a pattern that fills both digits.
    generator = torch.Generator().manual_seed(depth)
    probe = torch.randint(-ACTIVATION_LIMIT, ACTIVATION_LIMIT + 1, (32, depth), generator=generator)
    probe[0], probe[1] = ACTIVATION_LIMIT, -ACTIVATION_LIMIT
    probe[2] = torch.where(layer.weight[:, 0].cpu() < 0, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    probe = probe.to(torch.int16)
    expected = probe.long() @ layer.weight.cpu().long()
    try:
        got = product(probe.to(layer.weight.device), layer)
    except (RuntimeError, NotImplementedError):
        return False
    return torch.equal(got.cpu(), expected)
