"""Functions of neural networks on integers: rounded alike wherever they are computed.

A number stands for an integer divided by a power of two; the exponent is its *bits*. Functions
come from tables of fixed resolution, whose entries are far from halves (a test holds them to it),
so that any mathematical library rounds them alike. docs/bitstream.md states each of them.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

__all__ = [
    "EXPONENTIAL_BITS",
    "GELU_BITS",
    "GELU_STEP_SHIFT",
    "LATENT_BITS",
    "LOGIT_BITS",
    "NORMALISED_BITS",
    "TABLE_SIZE",
    "TANH_BITS",
    "divide",
    "exponentials",
    "gelu",
    "half_tanh",
    "normalise",
    "rescale",
    "square_root",
    "table",
    "table_entries",
]

# Bits of what enters and leaves each function.
GELU_BITS = 16
TANH_BITS = 11
LATENT_BITS = 8
LOGIT_BITS = 10
EXPONENTIAL_BITS = 20
NORMALISED_BITS = 10

# Entries of each table.
TABLE_SIZE = 2**14
# Bits of the position in the table of GELU, and what they leave of the argument.
_GELU_STEP_BITS = 11
GELU_STEP_SHIFT = GELU_BITS - _GELU_STEP_BITS
# Deviations are computed this much finer than what they divide.
_DEVIATION_BITS = 4


def rescale(values: Tensor, shift: int) -> Tensor:
    """Drop ``shift`` bits, rounding halves up; below 0, add bits."""
    if shift > 0:
        return (values + (1 << shift >> 1)).bitwise_right_shift_(shift)
    return values << -shift if shift else values


def divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the quotient of int64 by positive int64, rounded to the nearest, halves up."""
    doubled = denominator * 2
    return torch.div(numerator * 2 + denominator, doubled, rounding_mode="floor")


def square_root(values: Tensor) -> Tensor:
    """Return the floor of the square root of int64 from 0 to 2**62."""
    # However the device rounds, the float is within one of the integer.
    root = values.to(torch.float64).sqrt_().to(torch.int64)
    root -= (root * root > values).long()
    return root + ((root + 1) * (root + 1) <= values).long()


def gelu(values: Tensor) -> Tensor:
    """Return x times the normal distribution function of x; both of ``GELU_BITS``, int32.

    It is max(x, 0) less an even function, which the table holds.
    """
    half = 1 << GELU_STEP_SHIFT >> 1
    positions = values.abs().add_(half).bitwise_right_shift_(GELU_STEP_SHIFT)
    return values.clamp(min=0).sub_(_entries("gelu", positions))


def half_tanh(values: Tensor) -> Tensor:
    """Return tanh(x) / 2 of ``LATENT_BITS`` for x of ``TANH_BITS``, int32."""
    return _entries("half_tanh", values.abs()).mul_(values.sign())


def exponentials(logits: Tensor, dim: int) -> Tensor:
    """Return exp(x - max) along ``dim``, of ``EXPONENTIAL_BITS`` for x of ``LOGIT_BITS``, int32."""
    return _entries("exponential", logits.amax(dim, keepdim=True) - logits)


def normalise(values: Tensor, epsilon: int) -> Tensor:
    """Subtract the mean over the last axis and divide by the deviation.

    Args:
        values: ``(..., C)`` integers of up to 14 bits; C is at most 64.
        epsilon: added to C**2 times the variance, in 2**-8 of its units; at least 1.

    Returns:
        ``(..., C)`` int16 of ``NORMALISED_BITS``.
    """
    channels = values.shape[-1]
    wide = values.to(torch.int64)
    deviations = wide * channels - wide.sum(-1, keepdim=True)
    energy = deviations.square().sum(-1, keepdim=True) << 2 * _DEVIATION_BITS
    spread = square_root(torch.div(energy, channels, rounding_mode="floor") + epsilon)
    quotients = divide(deviations << NORMALISED_BITS + _DEVIATION_BITS, spread)
    return quotients.clamp_(-8127, 8127).to(torch.int16)


@functools.cache
def table_entries(name: str) -> list[float]:
    """Return a function's values at its positions, not yet rounded to integers."""
    if name == "gelu":
        points = (index / 2**_GELU_STEP_BITS for index in range(TABLE_SIZE))
        return [2**GELU_BITS * x * 0.5 * math.erfc(x / math.sqrt(2.0)) for x in points]
    if name == "half_tanh":
        points = (index / 2**TANH_BITS for index in range(TABLE_SIZE))
        return [2**LATENT_BITS * 0.5 * math.tanh(x) for x in points]
    points = (index / 2**LOGIT_BITS for index in range(TABLE_SIZE))
    return [2**EXPONENTIAL_BITS * math.exp(-x) for x in points]


def _entries(name: str, positions: Tensor) -> Tensor:
    """Look integers from 0 up up in a table; those beyond its end get its last entry."""
    inside = positions.clamp(max=TABLE_SIZE - 1)
    flat = table(name, positions.device).index_select(0, inside.reshape(-1))
    return flat.view(positions.shape)


@functools.cache
def table(name: str, device: torch.device) -> Tensor:
    """Return a function's values at its positions, int32."""
    rounded = [round(value) for value in table_entries(name)]
    return torch.tensor(rounded, dtype=torch.int32, device=device)
