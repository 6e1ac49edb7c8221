"""Passes over memory around the products of digits, each one loop instead of many, on CPUs.

What they compute is defined by ``products`` and ``endings``, whose PyTorch code runs elsewhere;
tests hold the two to each other. Inner loops are simple, so that the compiler vectorises them.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np
import torch
from torch import Tensor

from ugicm_codec.entropy import team
from ugicm_codec.entropy.endings import Ending, Function
from ugicm_codec.entropy.integers import GELU_STEP_SHIFT, TABLE_SIZE, table
from ugicm_codec.entropy.packing import DIGIT_ZERO

__all__ = ["depthwise", "finish_products", "split_digits"]

_GELU = int(Function.GELU)
_HALF_TANH = int(Function.HALF_TANH)
_TAPS = 9
# Positions that a thread takes at once.
_POSITIONS = 64


def split_digits(parts: Sequence[Tensor]) -> Tensor:
    """Return the digits of maps side by side, as bytes from 0 to 127.

    Args:
        parts: each ``(N, H, W, C)`` int16; C may differ.

    Returns:
        ``(2, N, H, W, sum of C)`` uint8, high, then low 7-bit digits, ``DIGIT_ZERO`` more each.
    """
    batch, height, width, _ = parts[0].shape
    total, places = sum(part.shape[3] for part in parts), batch * height * width
    digits = torch.empty((2, batch, height, width, total), dtype=torch.uint8)
    first = 0
    for part in parts:
        channels, pixel = part.shape[3], part.stride(2)
        if part.stride() != (height * width * pixel, width * pixel, pixel, 1):
            part, pixel = part.contiguous(), channels
        arguments = part, pixel, channels, digits, total, first, places
        team.run(_split, -(-places // _POSITIONS), arguments)
        first += channels
    return digits


def finish_products(products: Tensor, bias: Tensor, ending: Ending) -> Tensor:
    """Turn products of digits into a layer's results.

    Args:
        products: ``(2, R, 2 C)`` float32 that hold integers, of the operands' high digits before
            low ones and the weights' high digits left of low ones; ``(2, R, C)`` where weights
            have one digit. Rows follow each other; the two halves may lie apart.
        bias: ``(C,)`` float64 that hold integers.

    Returns:
        ``(R, C)`` of the ending's type.
    """
    rows, columns = products.shape[1], len(bias)
    out = torch.empty((rows, columns), dtype=ending.dtype)
    arguments: list[Tensor | int] = [products, products[1], products.shape[2], bias, rows, columns]
    arguments += [*_numbers(ending), _entries(ending), out]
    team.run(_FINISH[ending.dtype], -(-rows // _POSITIONS), arguments)
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
    batch, height, width, channels = values.shape
    out = torch.empty(values.shape, dtype=ending.dtype)
    whole, factors, start = (each.contiguous() for each in (values, weight, bias))
    arguments: list[Tensor | int] = [whole, factors, start, height, width, channels]
    arguments += [*_numbers(ending), _entries(ending), out]
    team.run(_DEPTHWISE[ending.dtype], batch * height, arguments)
    return out


def _numbers(ending: Ending) -> tuple[int, ...]:
    function = int(ending.function)
    return ending.shift, ending.low, ending.high, function, ending.narrow, ending.limit


def _entries(ending: Ending) -> Tensor:
    name = "half_tanh" if ending.function is Function.HALF_TANH else "gelu"
    return table(name, torch.device("cpu"))


@team.loop
def _split(address):
    source, pixel, channels, digits, total, first, places = team.arguments(address, 7)
    values = team.array(source, (places - 1) * pixel + channels, np.int16)
    planes = team.array(digits, (2, places, total), np.uint8)
    block = team.next_block(address)
    while block >= 0:
        for place in range(block * _POSITIONS, min(places, (block + 1) * _POSITIONS)):
            start = place * pixel
            numbers = values[start : start + channels]
            high = planes[0, place, first : first + channels]
            low = planes[1, place, first : first + channels]
            for channel in range(channels):
                shifted = np.int16(numbers[channel] + np.int16(DIGIT_ZERO))
                high[channel] = np.uint8((shifted >> np.int16(7)) + np.int16(DIGIT_ZERO))
                low[channel] = np.uint8(shifted & np.int16(127))
        block = team.next_block(address)


@numba.njit(inline="always")
def _bound(sum_, ending):
    """Drop or add bits, and keep the bounds, which are those of 32 bits."""
    shift, low, high = ending[0], ending[1], ending[2]
    half = np.int64(1) << max(shift, 0) >> 1
    rounded = (sum_ + half) >> shift if shift > 0 else sum_ << -shift
    return np.int32(min(max(rounded, low), high))


@numba.njit(inline="always")
def _end(bounded, ending, entries, out):
    """Turn a row of bounded sums into a row of results, while both are in the nearest cache."""
    count = bounded.size
    function, narrow, limit = ending[3], ending[4], ending[5]
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


def _finish_into(dtype):
    """Return the loop that ends sums in a type."""

    def finish(address):
        above, below, width, starts, rows, columns = team.arguments(address, 6)
        ending = team.arguments(address, 14)[6:12]
        table_, results = team.arguments(address, 14)[12:]
        entries = team.array(table_, TABLE_SIZE, np.int32)
        bias = team.array(starts, columns, np.float64)
        highs = team.array(above, (rows, width), np.float32)
        lows = team.array(below, (rows, width), np.float32)
        out = team.array(results, (rows, columns), dtype)
        half = math.ldexp(0.5, ending[0]) if ending[0] > 0 else 0.0
        scale = math.ldexp(1.0, -ending[0])
        least, most = np.float64(ending[1]), np.float64(ending[2])
        bounded = np.empty(columns, np.int32)
        block = team.next_block(address)
        while block >= 0:
            for row in range(block * _POSITIONS, min(rows, (block + 1) * _POSITIONS)):
                high, low = highs[row], lows[row]
                if width == columns:
                    for column in range(columns):
                        digits = np.float64(high[column]) * 128.0 + np.float64(low[column])
                        # As ``_bound``, on integers that stand in floats: all of it is exact.
                        rounded = np.floor((digits + bias[column] + half) * scale)
                        bounded[column] = np.int32(min(max(rounded, least), most))
                else:
                    beside, lowest = high[columns:], low[columns:]
                    for column in range(columns):
                        middle = np.float64(beside[column]) + np.float64(low[column])
                        digits = np.float64(high[column]) * 16384.0 + middle * 128.0
                        digits += np.float64(lowest[column])
                        rounded = np.floor((digits + bias[column] + half) * scale)
                        bounded[column] = np.int32(min(max(rounded, least), most))
                _end(bounded, ending, entries, out[row])
            block = team.next_block(address)

    return team.loop(finish)


def _depthwise_into(dtype):
    """Return the loop over rows of a map whose results are of a type."""

    def depthwise(address):
        source, factors, starts, height, width, channels = team.arguments(address, 6)
        ending = team.arguments(address, 14)[6:12]
        table_, results = team.arguments(address, 14)[12:]
        entries = team.array(table_, TABLE_SIZE, np.int32)
        weight = team.array(factors, (_TAPS, channels), np.int32)
        bias = team.array(starts, channels, np.int32)
        sums, bounded = np.empty(channels, np.int32), np.empty(channels, np.int32)
        block = team.next_block(address)
        while block >= 0:
            image, row = block // height, block % height
            values = team.array(source, (image + 1, height, width, channels), np.int16)[image]
            out = team.array(results, (block + 1, width, channels), dtype)[block]
            for column in range(width):
                sums[:] = bias
                for tap in range(_TAPS):
                    beside, across = row + tap // 3 - 1, column + tap % 3 - 1
                    if 0 <= beside < height and 0 <= across < width:
                        near, factor = values[beside, across], weight[tap]
                        for channel in range(channels):
                            sums[channel] += np.int32(near[channel]) * factor[channel]
                for channel in range(channels):
                    bounded[channel] = _bound(np.int64(sums[channel]), ending)
                _end(bounded, ending, entries, out[column])
            block = team.next_block(address)

    return team.loop(depthwise)


_FINISH, _DEPTHWISE = (
    {torch.int16: made(np.int16), torch.int32: made(np.int32)}
    for made in (_finish_into, _depthwise_into)
)
