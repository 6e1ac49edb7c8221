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

__all__ = ["depthwise", "finish_products", "split_parts"]

_GELU = int(Function.GELU)
_HALF_TANH = int(Function.HALF_TANH)
_TAPS = 9


def split_parts(parts: Sequence[Tensor], reach: int) -> Tensor:
    """Return the high, then low 7-bit digits of maps side by side, among zeros.

    Args:
        parts: each ``(N, H, W, C)`` int16; C may differ.
        reach: rows and columns of zeros on each side.

    Returns:
        ``(2, N, H + 2 reach, W + 2 reach, sum of C)`` int8.
    """
    batch, height, width, _ = parts[0].shape
    total = sum(part.shape[3] for part in parts)
    form = (2, batch, height + 2 * reach, width + 2 * reach, total)
    planes = torch.empty(form, dtype=torch.int8)
    _clear_margin(planes.numpy(), reach)
    first = 0
    for part in parts:
        channels = part.shape[3]
        pixel = part.stride(2)
        if part.stride() != (height * width * pixel, width * pixel, pixel, 1):
            part, pixel = part.contiguous(), channels
        reached = max(0, (batch * height * width - 1) * pixel + channels)
        flat = torch.as_strided(part, (reached,), (1,))
        _split(flat.numpy(), pixel, channels, planes.numpy(), reach, first)
        first += channels
    return planes


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
    _finish(sums, start, _numbers(ending), _entries(ending), out.numpy())
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
    _depthwise(whole, factors, start, _numbers(ending), _entries(ending), out.numpy())
    return out


def _numbers(ending: Ending) -> tuple[int, ...]:
    function = int(ending.function)
    return ending.shift, ending.low, ending.high, function, ending.narrow, ending.limit


def _entries(ending: Ending) -> NDArray[np.int32]:
    name = "half_tanh" if ending.function is Function.HALF_TANH else "gelu"
    return table(name, torch.device("cpu")).numpy()


@numba.njit("void(int8[:,:,:,:,::1], int64)", nogil=True, cache=True)
def _clear_margin(planes, reach):
    planes[:, :, :reach] = 0
    planes[:, :, planes.shape[2] - reach :] = 0
    planes[:, :, :, :reach] = 0
    planes[:, :, :, planes.shape[3] - reach :] = 0


@numba.njit("void(int16[::1], int64, int64, int8[:,:,:,:,::1], int64, int64)",
            nogil=True, cache=True)  # fmt: skip
def _split(values, pixel, channels, planes, reach, first):
    _, batch, padded_height, padded_width, _ = planes.shape
    height, width = padded_height - 2 * reach, padded_width - 2 * reach
    for image in range(batch):
        for row in range(height):
            for column in range(width):
                start = ((image * height + row) * width + column) * pixel
                source = values[start : start + channels]
                high = planes[0, image, row + reach, column + reach, first : first + channels]
                low = planes[1, image, row + reach, column + reach, first : first + channels]
                for channel in range(channels):
                    shifted = np.int32(source[channel]) + np.int32(64)
                    high[channel] = shifted >> 7
                    low[channel] = (shifted & 127) - 64


@numba.njit(inline="always")
def _end(sums, ending, entries, out):
    """Turn a row of sums into a row of results, while both are in the nearest cache."""
    count = sums.size
    shift, low, high, function, narrow, limit = ending
    if shift > 0:
        half = np.int64(1) << (shift - 1)
        for index in range(count):
            sums[index] = min(max((sums[index] + half) >> shift, low), high)
    else:
        for index in range(count):
            sums[index] = min(max(sums[index] << -shift, low), high)
    last = entries.size - 1
    if function == _GELU:
        step_half = np.int64(1) << (GELU_STEP_SHIFT - 1)
        narrow_half = (np.int64(1) << narrow) >> 1
        for index in range(count):
            value = sums[index]
            position = min((abs(value) + step_half) >> GELU_STEP_SHIFT, last)
            sums[index] = max(value, 0) - entries[np.uint64(position)]
        # A loop of its own is vectorised, which reading the table is not.
        for index in range(count):
            out[index] = min(max((sums[index] + narrow_half) >> narrow, -limit), limit)
    elif function == _HALF_TANH:
        for index in range(count):
            value = sums[index]
            entry = np.int64(entries[np.uint64(min(abs(value), last))])
            out[index] = entry if value >= 0 else -entry
    else:
        for index in range(count):
            out[index] = sums[index]


_ENDING = "UniTuple(int64, 6), int32[::1]"


@numba.njit([f"void(int32[:,::1], int64[::1], {_ENDING}, {out}[:,::1])"
             for out in ("int16", "int32")], nogil=True, cache=True)  # fmt: skip
def _finish(products, bias, ending, entries, out):
    rows, columns = out.shape
    one_digit = products.shape[1] == columns
    sums = np.empty(columns, np.int64)
    for row in range(rows):
        above, below = products[row], products[rows + row]
        if one_digit:
            for column in range(columns):
                sums[column] = (np.int64(above[column]) << 7) + below[column] + bias[column]
        else:
            for column in range(columns):
                middle = np.int64(above[columns + column]) + below[column]
                sums[column] = (
                    (np.int64(above[column]) << 14)
                    + (middle << 7)
                    + below[columns + column]
                    + bias[column]
                )
        _end(sums, ending, entries, out[row])


@numba.njit([f"void(int16[:,:,:,::1], int32[:,::1], int32[::1], {_ENDING}, {out}[:,:,:,::1])"
             for out in ("int16", "int32")], nogil=True, cache=True)  # fmt: skip
def _depthwise(values, weight, bias, ending, entries, out):
    batch, height, width, channels = values.shape
    sums = np.empty(channels, np.int64)
    for image in range(batch):
        for row in range(height):
            for column in range(width):
                for channel in range(channels):
                    sums[channel] = bias[channel]
                for tap in range(_TAPS):
                    beside, across = row + tap // 3 - 1, column + tap % 3 - 1
                    if 0 <= beside < height and 0 <= across < width:
                        source, factors = values[image, beside, across], weight[tap]
                        for channel in range(channels):
                            sums[channel] += np.int64(source[channel]) * factors[channel]
                _end(sums, ending, entries, out[image, row, column])
