"""Probabilities as the integer frequency tables of a model file."""

from __future__ import annotations

import math

import numpy as np
import torch
from compressai.entropy_models import EntropyBottleneck
from numpy.typing import NDArray
from torch import Tensor

from ugicm_codec.entropy.rans import PRECISION

__all__ = ["gaussian_tables", "hyper_tables", "scale_boundaries"]

# Scales of the latents' tables, log-spaced between these ends; CompressAI's lower end.
_SCALE_TABLES = 64
_SCALE_ENDS = (0.11, 128.0)

# Hyper-latents whose likelihood is looked at when their tables are built.
_HYPER_SUPPORT = 255

_Row = tuple[int, NDArray[np.float64]]


def scale_boundaries() -> NDArray[np.float64]:
    """Return the scales between two tables, at the geometric mean of theirs."""
    scales = _scales()
    return np.sqrt(scales[1:] * scales[:-1])


def gaussian_tables() -> dict[str, Tensor]:
    """Return the latents' tables: zero-mean Gaussians of one scale each.

    Each goes one value further on either side than 16 bits resolve: an escape costs ten bits more,
    a value that is there and not used costs the others next to nothing, and networks err most
    about what hardly ever happens.
    """
    rows: list[_Row] = []
    for scale in _scales():
        reach = math.ceil(6 * scale) + 1
        values = np.arange(-reach, reach + 1)
        edges = torch.from_numpy((np.append(values, reach + 1) - 0.5) / scale)
        rows.append((-reach, np.diff(torch.special.ndtr(edges).numpy())))
    return _tables(rows, beyond=1)


@torch.no_grad()
def hyper_tables(bottleneck: EntropyBottleneck, offsets: Tensor) -> dict[str, Tensor]:
    """Return the hyper-latents' tables, one row per channel.

    Args:
        bottleneck: their densities.
        offsets: ``(C,)``, what a channel's values lie beside the integers that are coded.
    """
    integers = torch.arange(-_HYPER_SUPPORT, _HYPER_SUPPORT + 1, dtype=torch.float32)
    likelihood, *_ = bottleneck._likelihood(integers + offsets[:, None, None])
    rows = [(-_HYPER_SUPPORT, row) for row in likelihood[:, 0].double().cpu().numpy()]
    return _tables(rows, beyond=0)


def _scales() -> NDArray[np.float64]:
    low, high = _SCALE_ENDS
    return np.geomspace(low, high, _SCALE_TABLES)


def _tables(rows: list[_Row], *, beyond: int) -> dict[str, Tensor]:
    """Cut each distribution ``beyond`` what 16 bits resolve, and add the escape symbol."""
    total = 1 << PRECISION
    frequencies, offsets = [], []
    for first, probabilities in rows:
        kept = np.flatnonzero(probabilities * total >= 0.5)
        if kept.size == 0:
            kept = np.array([int(np.argmax(probabilities))])
        low = max(0, int(kept[0]) - beyond)
        high = min(probabilities.size, int(kept[-1]) + 1 + beyond)
        inside = probabilities[low:high]
        escape = max(0.0, 1.0 - float(inside.sum()))
        frequencies.append(_integer_frequencies(np.append(inside, escape), total))
        offsets.append(first + low)
    width = max(row.size for row in frequencies) + 1
    cumulative = np.full((len(rows), width), total, np.int32)
    for index, row in enumerate(frequencies):
        cumulative[index, 0] = 0
        cumulative[index, 1 : row.size + 1] = np.cumsum(row)
    return {
        "cumulative": torch.from_numpy(cumulative),
        "num_symbols": torch.tensor([row.size for row in frequencies], dtype=torch.int32),
        "offset": torch.tensor(offsets, dtype=torch.int32),
    }


def _integer_frequencies(probabilities: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Round to integers of at least 1 that sum to ``total``, at the least cost in bits."""
    ideal = np.floor(probabilities / probabilities.sum() * total)
    frequencies: NDArray[np.int64] = np.maximum(1, ideal).astype(np.int64)
    while (missing := total - int(frequencies.sum())) != 0:
        # The cheapest place for one count more or less is where the relative change is smallest.
        gain = probabilities / (frequencies + (0 if missing > 0 else -1) + 1e-9)
        gain[(frequencies <= 1) & (missing < 0)] = np.inf
        place = int(np.argmax(gain)) if missing > 0 else int(np.argmin(gain))
        frequencies[place] += 1 if missing > 0 else -1
    return frequencies
