"""Turns a trained float model into a model file: integer entropy networks, tables, half floats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ugicm_codec.entropy.fixedpoint import ACTIVATION_LIMIT, WEIGHT_LIMIT
from ugicm_codec.entropy.rans import PRECISION
from ugicm_codec.models.layers import output_phases
from ugicm_codec.models.modelfile import ENTROPY_PREFIX, serialise_model
from ugicm_training.constraints import effective_state
from ugicm_training.data import PhotoSet
from ugicm_training.model import TrainableHyperprior

__all__ = ["calibration_crops", "export_model"]

# Scales of the latents' tables, log-spaced between these ends; CompressAI's lower end.
_SCALE_TABLES = 64
_SCALE_ENDS = (0.11, 128.0)

# Activations may exceed the largest seen in calibration by this factor before they saturate.
_HEADROOM = 2.0

_CALIBRATION_PICTURES = 32

# Hyper-latents whose likelihood is looked at when their tables are built.
_HYPER_SUPPORT = 255


def calibration_crops(photos: PhotoSet) -> Tensor:
    """Return ``(N, 3, S, S)`` in [0, 1]: the middles of the first pictures, of one size."""
    pictures = photos.pictures[:_CALIBRATION_PICTURES]
    side = min(min(picture.shape[:2]) for picture in pictures) // 64 * 64
    crops = []
    for picture in pictures:
        top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
        crops.append(torch.from_numpy(picture[top : top + side, left : left + side].copy()))
    return torch.stack(crops).permute(0, 3, 1, 2).float().div_(255.0)


@torch.no_grad()
def export_model(
    model: TrainableHyperprior,
    *,
    calibration: Tensor,
    quality_steps: int,
    training: Mapping[str, Any],
) -> bytes:
    """Return the bytes of a model file.

    Args:
        calibration: ``(N, 3, H, W)`` pictures in [0, 1], sides multiples of 64, from which the
            fixed-point activations get their scales.
        quality_steps: points on the rate range.
        training: the record that stands in the file, JSON.
    """
    quality = torch.linspace(0.0, 1.0, quality_steps)
    gain, inverse_gain = model.gains(quality)
    entropy = {
        "gain": gain,
        "inverse_gain": inverse_gain,
        **_fixed_point(model, calibration),
        **_tables("latent_tables.", _gaussian_tables()),
        **_tables("hyper_tables.", _bottleneck_tables(model)),
    }
    tensors = {
        f"{part}.{name}": value.to(torch.float16)
        for part in ("g_a", "g_s", "h_a")
        for name, value in effective_state(getattr(model, part)).items()
    }
    tensors |= {ENTROPY_PREFIX + name: value for name, value in entropy.items()}
    return serialise_model(tensors, model.config, training)


def _fixed_point(model: TrainableHyperprior, calibration: Tensor) -> dict[str, Tensor]:
    x = _hyper_latents(model, calibration)
    activation_bits = 0
    exported: dict[str, Tensor] = {}
    networks = [part for part in model.h_s if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]
    for index, layer in enumerate(networks):
        upsample = isinstance(layer, nn.ConvTranspose2d)
        matrix = _transposed_as_matrix(layer.weight) if upsample else _as_matrix(layer.weight)
        assert layer.bias is not None
        bias = layer.bias.repeat(4) if upsample else layer.bias
        weight_bits = math.floor(math.log2(WEIGHT_LIMIT / float(matrix.abs().max())))
        sum_bits = weight_bits + activation_bits
        x = torch.relu(layer(x))
        last = index == len(networks) - 1
        activation_bits = (
            0 if last else math.floor(math.log2(ACTIVATION_LIMIT / (_HEADROOM * float(x.max()))))
        )
        prefix = f"layers.{index}."
        exported[prefix + "weight"] = (matrix.double() * 2**weight_bits).round().to(torch.int16)
        exported[prefix + "bias"] = (bias.double() * 2**sum_bits).round().to(torch.int64)
        exported[prefix + "shift"] = torch.tensor(0 if last else sum_bits - activation_bits)
        exported[prefix + "upsample"] = torch.tensor(int(upsample))
    scales = _scales()
    # Between two tables, at the geometric mean of their scales.
    middles = torch.from_numpy(np.sqrt(scales[1:] * scales[:-1]))
    exported["thresholds"] = (middles * 2**sum_bits).round().to(torch.int64)
    return exported


def _hyper_latents(model: TrainableHyperprior, pictures: Tensor) -> Tensor:
    qualities = torch.linspace(0.0, 1.0, 5)
    y = model.g_a(pictures)
    parts = []
    for quality in qualities:
        gain, _ = model.gains(quality.expand(len(pictures)))
        parts.append(model.h_a(y * gain[:, :, None, None]).round())
    return torch.cat(parts)


def _as_matrix(weight: Tensor) -> Tensor:
    """``(O, I, 3, 3)`` to ``(9 I, O)``, taps in raster order outermost."""
    return weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])


def _transposed_as_matrix(weight: Tensor) -> Tensor:
    """``(I, O, 5, 5)`` of stride 2 to ``(9 I, 4 O)``: one 3x3 convolution of each output phase."""
    return output_phases(weight).reshape(9 * weight.shape[0], -1)


def _scales() -> NDArray[np.float64]:
    low, high = _SCALE_ENDS
    return np.geomspace(low, high, _SCALE_TABLES)


def _gaussian_tables() -> list[tuple[int, NDArray[np.float64]]]:
    rows = []
    for scale in _scales():
        reach = math.ceil(6 * scale) + 1
        values = np.arange(-reach, reach + 1)
        edges = torch.from_numpy((np.append(values, reach + 1) - 0.5) / scale)
        rows.append((-reach, np.diff(torch.special.ndtr(edges).numpy())))
    return rows


def _bottleneck_tables(model: TrainableHyperprior) -> list[tuple[int, NDArray[np.float64]]]:
    values = torch.arange(-_HYPER_SUPPORT, _HYPER_SUPPORT + 1, dtype=torch.float32)
    channels = model.config.channels
    likelihood, *_ = model.bottleneck._likelihood(values.repeat(channels, 1, 1))
    return [(-_HYPER_SUPPORT, row) for row in likelihood[:, 0].double().numpy()]


def _tables(prefix: str, rows: list[tuple[int, NDArray[np.float64]]]) -> dict[str, Tensor]:
    """Cut each distribution to what 16 bits resolve, and add the escape symbol."""
    total = 1 << PRECISION
    frequencies, offsets = [], []
    for first, probabilities in rows:
        kept = np.flatnonzero(probabilities * total >= 0.5)
        if kept.size == 0:
            kept = np.array([int(np.argmax(probabilities))])
        low, high = int(kept[0]), int(kept[-1]) + 1
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
        prefix + "cumulative": torch.from_numpy(cumulative),
        prefix + "num_symbols": torch.tensor([row.size for row in frequencies], dtype=torch.int32),
        prefix + "offset": torch.tensor(offsets, dtype=torch.int32),
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
