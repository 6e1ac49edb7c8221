"""The hyper-synthesis in fixed point: from floats for a model file, and back to train further."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ugicm_codec.entropy.fixedpoint import ACTIVATION_LIMIT, WEIGHT_LIMIT
from ugicm_codec.models.bmshj2018 import HyperSynthesis
from ugicm_codec.models.layers import output_phases
from ugicm_training.tables import scale_boundaries

__all__ = ["Calibration", "from_fixed_point", "to_fixed_point"]

# Singular values below this share of the largest one are noise of rounding.
_LEAST_SHARE = 1e-4

# Thresholds are integers; this much may they differ from a scale's boundary, relatively.
_THRESHOLD_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the exact network will meet.

    Attributes:
        hyper_latents: integers, ``(N, C, a, b)``.
        headroom: by which factor activations may exceed those of ``hyper_latents``.
    """

    hyper_latents: Tensor
    headroom: float


@torch.no_grad()
def to_fixed_point(
    h_s: HyperSynthesis, calibration: Sequence[Calibration], offsets: Tensor
) -> dict[str, Tensor]:
    """Return the layers and thresholds of the exact network, as they stand in a model file.

    Args:
        h_s: takes integers plus ``offsets``; the exact network takes the integers, and has what
            the offsets add inside a picture in its first biases.
        calibration: from which the activations get their range; at least one.
        offsets: ``(C,)``.
    """
    activations = [each.hyper_latents + offsets[:, None, None] for each in calibration]
    activation_bits = 0
    exported: dict[str, Tensor] = {}
    layers = _layers(h_s)
    for index, layer in enumerate(layers):
        upsample = isinstance(layer, nn.ConvTranspose2d)
        matrix = _transposed_as_matrix(layer.weight) if upsample else _as_matrix(layer.weight)
        assert layer.bias is not None
        bias = layer.bias.repeat(4) if upsample else layer.bias
        if index == 0:
            bias = bias + _added_by(offsets, matrix)
        weight_bits = _bits_below(WEIGHT_LIMIT, float(matrix.abs().max()))
        sum_bits = weight_bits + activation_bits
        activations = [torch.relu(layer(x)) for x in activations]
        last = index == len(layers) - 1
        largest = max(
            each.headroom * float(x.max()) for each, x in zip(calibration, activations, strict=True)
        )
        activation_bits = 0 if last else _bits_below(ACTIVATION_LIMIT, largest)
        # Products can only be rounded down to activations, never spread out.
        activation_bits = min(activation_bits, sum_bits)
        prefix = f"layers.{index}."
        exported[prefix + "weight"] = (matrix.double() * 2**weight_bits).round().to(torch.int16)
        exported[prefix + "bias"] = (bias.double() * 2**sum_bits).round().to(torch.int64)
        exported[prefix + "shift"] = torch.tensor(0 if last else sum_bits - activation_bits)
        exported[prefix + "upsample"] = torch.tensor(int(upsample))
    boundaries = torch.from_numpy(scale_boundaries())
    exported["thresholds"] = (boundaries * 2**sum_bits).round().to(torch.int64)
    return exported


@torch.no_grad()
def from_fixed_point(entropy: Mapping[str, Tensor], h_s: HyperSynthesis) -> Tensor:
    """Give ``h_s`` the weights whose fixed-point form ``entropy`` is, and return the offsets.

    Between layers the file keeps only products of scales: any split of the bits is the same map.
    Here each layer gets the same share, so that all have weights of about one size. Exact: the
    weights are the file's integers divided by powers of two. The offsets, ``(C,)``, are found
    from what they add to the four phases of the first layer's output; without any they are 0.

    Raises:
        ValueError: the thresholds are not those of this exporter's scales.
    """
    sum_bits = _last_sum_bits(entropy["thresholds"])
    shifts = [int(entropy[f"layers.{index}.shift"]) for index in range(2)]
    total = sum(shifts) + sum_bits
    weight_bits = [total // 3, total // 3, total - 2 * (total // 3)]
    activation_bits = 0
    for index, layer in enumerate(_layers(h_s)):
        matrix = entropy[f"layers.{index}.weight"].double() / 2 ** weight_bits[index]
        inverse = _matrix_as_transposed if isinstance(layer, nn.ConvTranspose2d) else _matrix_as
        layer.weight.copy_(inverse(matrix, layer.weight.shape))
        product_bits = weight_bits[index] + activation_bits
        bias = entropy[f"layers.{index}.bias"].double() / 2.0**product_bits
        if index == 0:
            offsets = _offsets(bias, matrix)
            bias = bias - _added_by(offsets, matrix)
        assert layer.bias is not None
        layer.bias.copy_(bias.view(-1, layer.out_channels).mean(0))
        activation_bits = product_bits - shifts[index] if index < len(shifts) else 0
    return offsets.float()


def _layers(h_s: HyperSynthesis) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [part for part in h_s if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]


def _added_by(offsets: Tensor, matrix: Tensor) -> Tensor:
    """Return ``(columns,)``, what a constant input of ``offsets`` adds away from the borders."""
    return offsets.to(matrix.dtype) @ matrix.view(9, len(offsets), -1).sum(0)


def _offsets(bias: Tensor, matrix: Tensor) -> Tensor:
    # A transposed convolution has one bias for all phases: what differs between phases comes
    # from the offsets.
    by_phase = bias.view(4, -1)
    of_each = matrix.view(9, matrix.shape[0] // 9, 4, -1).sum(0)
    differing = (of_each - of_each.mean(1, keepdim=True)).flatten(1)
    wanted = (by_phase - by_phase.mean(0)).flatten()
    # Channels without weights show no offset; they get none.
    found = torch.linalg.lstsq(differing.T, wanted[:, None], rcond=_LEAST_SHARE, driver="gelsd")
    solution: Tensor = found.solution
    return solution[:, 0]


def _bits_below(limit: int, largest: float) -> int:
    """Return the most bits of fraction with which ``largest`` stays within ``limit``."""
    return math.floor(math.log2(limit / max(largest, 1e-6)))


def _last_sum_bits(thresholds: Tensor) -> int:
    boundaries = torch.from_numpy(scale_boundaries())
    if thresholds.shape != boundaries.shape:
        raise ValueError(f"{len(boundaries)} thresholds are known, got {len(thresholds)}")
    ratio = thresholds.double() / boundaries
    bits = round(math.log2(max(float(ratio[-1]), 1e-300)))
    if float((ratio / 2.0**bits - 1).abs().max()) > _THRESHOLD_TOLERANCE:
        raise ValueError("the thresholds belong to other scales than this exporter's")
    return bits


def _as_matrix(weight: Tensor) -> Tensor:
    """``(O, I, 3, 3)`` to ``(9 I, O)``, taps in raster order outermost."""
    return weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])


def _matrix_as(matrix: Tensor, shape: torch.Size) -> Tensor:
    channels_out, channels_in = shape[:2]
    return matrix.view(3, 3, channels_in, channels_out).permute(3, 2, 0, 1)


def _transposed_as_matrix(weight: Tensor) -> Tensor:
    """``(I, O, 5, 5)`` of stride 2 to ``(9 I, 4 O)``: one 3x3 convolution of each output phase."""
    return output_phases(weight).reshape(9 * weight.shape[0], -1)


def _matrix_as_transposed(matrix: Tensor, shape: torch.Size) -> Tensor:
    channels_in, channels_out = shape[:2]
    phases = matrix.view(3, 3, channels_in, 2, 2, channels_out)
    # The places of a kernel's elements among the phases, by writing the elements' numbers there.
    numbers = torch.arange(1, 26, dtype=torch.float64).view(1, 1, 5, 5)
    of_place = output_phases(numbers)[:, :, 0, :, :, 0]
    weight = matrix.new_zeros(shape)
    for row, column, row_phase, column_phase in of_place.nonzero().tolist():
        element = int(of_place[row, column, row_phase, column_phase]) - 1
        weight[:, :, element // 5, element % 5] = phases[row, column, :, row_phase, column_phase]
    return weight
