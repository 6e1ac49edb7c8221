"""Fits an entropy bottleneck to stored frequency tables, so that training can go on from them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from compressai.entropy_models import EntropyBottleneck
from torch import Tensor
from torch.nn import functional

from ugicm_codec.entropy.rans import PRECISION

__all__ = ["fit_bottleneck"]

_STEPS = 400
_FIRST_RATE = 0.03

# The quantiles around a median, as CompressAI starts them: nothing here looks at the outer ones.
_REACH = (-10.0, 0.0, 10.0)

# Below this a probability counts no further: less than what 16 bits tell apart.
_LEAST = 2.0 ** -(PRECISION + 4)


def fit_bottleneck(
    bottleneck: EntropyBottleneck, tables: Mapping[str, Tensor], offsets: Tensor
) -> float:
    """Fit every channel's density to its table, deterministically; leave the global seed alone.

    Args:
        bottleneck: of as many channels as there are tables; its parameters are replaced.
        tables: ``cumulative``, ``num_symbols`` and ``offset`` of a model file's hyper-latents.
        offsets: ``(C,)``, what a channel's values lie beside the integers that are coded; become
            the medians.

    Returns:
        What coding the tables' own symbols with the fitted densities costs, in bits a symbol above
        the tables' entropy (the Kullback-Leibler divergence), mean over channels.
    """
    values, probabilities, inside = _distributions(tables)
    values = values + offsets[:, None, None]
    _start(bottleneck, values, probabilities * inside)
    optimizer = torch.optim.Adam(_density_parameters(bottleneck), lr=_FIRST_RATE)
    for step in range(_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = _FIRST_RATE * 0.5 * (1.0 + math.cos(math.pi * step / _STEPS))
        optimizer.zero_grad()
        with torch.enable_grad():
            _divergence(bottleneck, values, probabilities, inside).sum().backward()
        optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        bottleneck.quantiles.copy_(offsets[:, None, None] + bottleneck.quantiles.new_tensor(_REACH))
        return float(_divergence(bottleneck, values, probabilities, inside).mean())


def _density_parameters(bottleneck: EntropyBottleneck) -> list[torch.nn.Parameter]:
    return [*bottleneck.matrices, *bottleneck.biases, *bottleneck.factors]


def _distributions(tables: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return values, probabilities and which of them are symbols, ``(C, 1, symbols)`` each.

    A row's last probability is the escape's: all that lies outside of its values.
    """
    frequencies = tables["cumulative"].double().diff(dim=1)
    position = torch.arange(frequencies.shape[1])
    escape = tables["num_symbols"][:, None] - 1
    values = (position + tables["offset"][:, None]).float()
    probabilities = (frequencies / 2.0**PRECISION).float()
    inside = position < escape
    # Rows are padded with empty symbols: with the escape's values out of the way, no mass is lost.
    return values[:, None], probabilities[:, None], inside[:, None]


def _divergence(
    bottleneck: EntropyBottleneck, values: Tensor, probabilities: Tensor, inside: Tensor
) -> Tensor:
    """Return each channel's divergence in bits, ``(C,)``."""
    likelihood = bottleneck._likelihood(values)[0].clamp(min=_LEAST) * inside
    outside = (1.0 - likelihood.sum(2, keepdim=True)).clamp(min=_LEAST)
    modelled = torch.where(inside, likelihood, outside)
    terms = torch.where(
        probabilities > 0.0,
        probabilities * (probabilities.clamp(min=_LEAST).log2() - modelled.log2()),
        0.0,
    )
    return terms.sum(dim=(1, 2))


@torch.no_grad()
def _start(bottleneck: EntropyBottleneck, values: Tensor, weights: Tensor) -> None:
    """Make every density a logistic of its table's mean and deviation, slightly uneven."""
    mass = weights.sum(2)
    mean = (weights * values).sum(2) / mass
    deviation = ((weights * (values - mean[:, :, None]).square()).sum(2) / mass).sqrt()
    # A logistic's slope for that deviation; the floor is for tables of one symbol.
    slope = math.pi / math.sqrt(3.0) / deviation.clamp(min=0.2)
    # Equal filters would have equal gradients for ever: they start a little apart.
    generator = torch.Generator().manual_seed(0)
    share = slope ** (1.0 / len(bottleneck.matrices))
    for matrix in bottleneck.matrices:
        raw = torch.log(torch.expm1((share / matrix.shape[1]).clamp(max=30.0)))
        matrix.copy_(raw[:, :, None].expand_as(matrix))
        matrix.add_(0.1 * torch.randn(matrix.shape, generator=generator))
    for bias in bottleneck.biases:
        bias.copy_(0.1 * torch.randn(bias.shape, generator=generator))
    for factor in bottleneck.factors:
        factor.copy_(0.1 * torch.randn(factor.shape, generator=generator))
    first = functional.softplus(bottleneck.matrices[0])
    bottleneck.biases[0].copy_(bottleneck.biases[0] - first * mean[:, :, None])
