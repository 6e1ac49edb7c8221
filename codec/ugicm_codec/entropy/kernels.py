"""Passes over memory around the products of digits, each one loop instead of many, on CPUs.

What they compute is defined by ``fixedpoint`` and ``endings``, whose PyTorch code runs elsewhere;
tests hold the two to each other. Inner loops are simple, so that the compiler vectorises them.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugicm_codec.entropy.endings import Ending, Function
from ugicm_codec.entropy.integers import GELU_STEP_SHIFT, table

__all__ = ["depthwise", "finish_products", "gather_digits"]

_GELU = int(Function.GELU)
_HALF_TANH = int(Function.HALF_TANH)
_TAPS = 9


def gather_digits(parts: Sequence[Tensor], kernel: int, positions: Tensor) -> Tensor:
    """Return the digits of neighbourhoods in maps that lie side by side, among zeros.

    Args:
        parts: each ``(N, H, W, C)`` int16; C may differ.
        kernel: odd height and width of the neighbourhood.
        positions: ``(P,)`` int64, row times W plus column.

    Returns:
        ``(2, N * P, kernel**2 * sum of C)`` int8, high, then low 7-bit digits; taps in raster order
        outermost.
    """
    batch, height, width, _ = parts[0].shape
    total = sum(part.shape[3] for part in parts)
    places = batch * len(positions)
    gathered = torch.empty((2, places, kernel**2, total), dtype=torch.int8)
    rows, where = gathered.numpy(), positions.numpy()
    size, first = (height, width, kernel), 0
    for part in parts:
        channels = part.shape[3]
        pixel = part.stride(2)
        if part.stride() != (height * width * pixel, width * pixel, pixel, 1):
            part, pixel = part.contiguous(), channels
        reached = max(0, (batch * height * width - 1) * pixel + channels)
        flat = torch.as_strided(part, (reached,), (1,))
        _gather(flat.numpy(), pixel, channels, size, where, rows, first)
        first += channels
    return gathered.flatten(2)


def finish_products(products: Tensor, bias: Tensor, ending: Ending) -> Tensor:
    """Turn products of digits into a layer's results.

    Args:
        products: ``(2 R, 2 C)`` int32, of the operands' high digits above low ones and the
            weights' high digits left of low ones; ``(2 R, C)`` where weights have one digit.
        bias: ``(C,)`` int64.

    Returns:
        ``(R, C)`` of the ending's type.
    """
    rows, columns = len(products) // 2, len(bias)
    out = torch.empty((rows, columns), dtype=ending.dtype)
    sums, start = products.contiguous().numpy(), bias.contiguous().numpy()
    arguments = sums, start, _numbers(ending), _entries(ending), out.numpy()
    _finish(*arguments)
    return out


def depthwise(values: Tensor, weight: Tensor, bias: Tensor, ending: Ending) -> Tensor:
    """Convolve each channel by itself, 3x3, among zeros.

    Args:
        values: ``(N, H, W, C)`` int16.
        weight: ``(9, C)`` int32.
        bias: ``(C,)`` int32; sums stay within int32.

    Returns:
        ``(N, H, W, C)`` of the ending's type.
    """
    out = torch.empty(values.shape, dtype=ending.dtype)
    whole, factors, start = (each.contiguous().numpy() for each in (values, weight, bias))
    arguments = whole, factors, start, _numbers(ending), _entries(ending), out.numpy()
    _depthwise(*arguments)
    return out


def _numbers(ending: Ending) -> tuple[int, ...]:
    function = int(ending.function)
    return ending.shift, ending.low, ending.high, function, ending.narrow, ending.limit


def _entries(ending: Ending) -> NDArray[np.int32]:
    name = "half_tanh" if ending.function is Function.HALF_TANH else "gelu"
    return table(name, torch.device("cpu")).numpy()


@numba.njit("void(int16[::1], int64, int64, UniTuple(int64, 3), int64[::1],"
            "int8[:,:,:,::1], int64)", nogil=True, cache=True)  # fmt: skip
def _gather(values, pixel, channels, size, positions, gathered, first):
    height, width, kernel = size
    for place in range(gathered.shape[1]):
        image, position = place // positions.size, positions[place % positions.size]
        row, column = position // width, position % width
        for tap in range(kernel * kernel):
            beside = row + tap // kernel - kernel // 2
            across = column + tap % kernel - kernel // 2
            high = gathered[0, place, tap, first : first + channels]
            low = gathered[1, place, tap, first : first + channels]
            if 0 <= beside < height and 0 <= across < width:
                start = ((image * height + beside) * width + across) * pixel
                source = values[start : start + channels]
                for channel in range(channels):
                    shifted = np.int16(source[channel] + np.int16(64))
                    high[channel] = shifted >> 7
                    low[channel] = (shifted & 127) - 64
            else:
                high[:] = 0
                low[:] = 0


@numba.njit(inline="always")
def _bound(sum_, ending):
    """Drop or add bits, and keep the bounds, which are those of 32 bits."""
    shift, low, high = ending[:3]
    half = np.int64(1) << max(shift, 0) >> 1
    rounded = (sum_ + half) >> shift if shift > 0 else sum_ << -shift
    return np.int32(min(max(rounded, low), high))


@numba.njit(inline="always")
def _end(bounded, ending, entries, out):
    """Turn a row of bounded sums into a row of results, while both are in the nearest cache."""
    count = bounded.size
    _, _, _, function, narrow, limit = ending
    last = np.int32(entries.size - 1)
    # Reading a table is a loop of its own: the others are vectorised.
    if function == _GELU:
        step_half = np.int32(1 << (GELU_STEP_SHIFT - 1))
        narrow_half, most = np.int32((1 << narrow) >> 1), np.int32(limit)
        positions = np.empty(count, np.uint32)
        for index in range(count):
            magnitude = np.int32(abs(bounded[index]) + step_half)
            positions[index] = min(np.int32(magnitude >> GELU_STEP_SHIFT), last)
        for index in range(count):
            positions[index] = entries[positions[index]]
        for index in range(count):
            activated = np.int32(max(bounded[index], np.int32(0)) - np.int32(positions[index]))
            narrowed = np.int32(np.int32(activated + narrow_half) >> narrow)
            out[index] = min(max(narrowed, np.int32(-most)), most)
    elif function == _HALF_TANH:
        for index in range(count):
            value = bounded[index]
            entry = entries[np.uint32(min(abs(value), last))]
            out[index] = entry if value >= 0 else -entry
    else:
        for index in range(count):
            out[index] = bounded[index]


_ENDING = "UniTuple(int64, 6), int32[::1]"


@numba.njit([f"void(int32[:,::1], int64[::1], {_ENDING}, {out}[:,::1])"
             for out in ("int16", "int32")], nogil=True, cache=True)  # fmt: skip
def _finish(products, bias, ending, entries, out):
    rows, columns = out.shape
    one_digit = products.shape[1] == columns
    bounded = np.empty(columns, np.int32)
    for row in range(rows):
        above, below = products[row], products[rows + row]
        if one_digit:
            for column in range(columns):
                sum_ = (np.int64(above[column]) << 7) + below[column] + bias[column]
                bounded[column] = _bound(sum_, ending)
        else:
            beside, lowest = above[columns:], below[columns:]
            for column in range(columns):
                middle = np.int64(beside[column]) + below[column]
                high = (np.int64(above[column]) << 14) + (middle << 7)
                bounded[column] = _bound(high + lowest[column] + bias[column], ending)
        _end(bounded, ending, entries, out[row])


@numba.njit([f"void(int16[:,:,:,::1], int32[:,::1], int32[::1], {_ENDING},"
             f"{out}[:,:,:,::1])" for out in ("int16", "int32")],
            nogil=True, cache=True)  # fmt: skip
def _depthwise(values, weight, bias, ending, entries, out):
    batch, height, width, channels = values.shape
    sums, bounded = np.empty(channels, np.int32), np.empty(channels, np.int32)
    for line in range(batch * height):
        image, row = line // height, line % height
        for column in range(width):
            sums[:] = bias
            for tap in range(_TAPS):
                beside, across = row + tap // 3 - 1, column + tap % 3 - 1
                if 0 <= beside < height and 0 <= across < width:
                    source, factors = values[image, beside, across], weight[tap]
                    for channel in range(channels):
                        sums[channel] += np.int32(source[channel]) * factors[channel]
            for channel in range(channels):
                bounded[channel] = _bound(np.int64(sums[channel]), ending)
            _end(bounded, ending, entries, out[image, row, column])
