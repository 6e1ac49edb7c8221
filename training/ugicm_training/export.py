"""Turns a trained float model into a model file: integer entropy networks, tables, half floats."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from ugicm_codec.models.modelfile import ENTROPY_PREFIX, serialise_model
from ugicm_training.constraints import effective_state
from ugicm_training.data import PhotoSet
from ugicm_training.fixed_point import Calibration, to_fixed_point
from ugicm_training.mlicpp import TrainableMlicpp
from ugicm_training.mlicpp_fixed_point import Pictures, mlicpp_fixed_point
from ugicm_training.model import Trainable, TrainableHyperprior
from ugicm_training.pretrained import codes_as
from ugicm_training.tables import gaussian_tables, hyper_tables

__all__ = ["calibration_crops", "export_model", "export_record"]

_CALIBRATION_PICTURES = 32

# Activations may exceed the largest seen in calibration by this factor before they saturate. Drawn
# hyper-latents know nothing of how channels go together, which makes photographs' activations up
# to five times as large; they are there so that dull pictures do not calibrate for dull ones alone.
_HEADROOM = 2.0
_HEADROOM_OF_DRAWN = 8.0
_DRAWN_PICTURES = 32
_DRAWN_SIDES = (6, 6)

# Qualities at which calibration looks, over the rate range.
_CALIBRATION_QUALITIES = 5


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
    model: Trainable,
    *,
    calibration: Tensor | None,
    quality_steps: int,
    training: Mapping[str, Any],
    base: Mapping[str, Tensor] | None = None,
) -> bytes:
    """Return the bytes of a model file.

    Args:
        calibration: ``(N, 3, H, W)`` pictures in [0, 1], sides multiples of 64, from which the
            fixed-point activations get their range, beside hyper-latents drawn from the entropy
            model; None leaves it to those.
        quality_steps: points on the rate range.
        training: the record that stands in the file, JSON.
        base: tensors of the model file that training started from. Where encoder and entropy
            model are still its own, their tensors are taken from it as they are, quality steps
            included: the latents id stays, and streams of the one decode with the other.
    """
    tensors = {f"g_s.{name}": value.half() for name, value in effective_state(model.g_s).items()}
    if base is not None and codes_as(model, base):
        coding = {name: value for name, value in base.items() if not name.startswith("g_s.")}
    else:
        coding = _coding_tensors(model, calibration, quality_steps)
    return serialise_model(tensors | coding, model.config, training)


def export_record(calibration: PhotoSet, commit: str | None, sources: str | None) -> dict[str, Any]:
    """Return what a training record says of the export.

    Args:
        calibration: the pictures that the model is calibrated on.
        commit: of the source that trained it.
        sources: where the pictures of training came from, in words.
    """
    packages = ("ugicm-training", "ugicm-codec", "torch", "compressai", "numpy")
    return {
        "calibration": {
            "pictures": min(len(calibration.names), _CALIBRATION_PICTURES),
            "digest": calibration.digest,
        },
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in packages},
        },
        "commit": commit,
        "sources": sources,
    }


def _coding_tensors(
    model: Trainable, calibration: Tensor | None, quality_steps: int
) -> dict[str, Tensor]:
    gain, inverse_gain = model.gains(torch.linspace(0.0, 1.0, quality_steps))
    entropy = {"gain": gain, "inverse_gain": inverse_gain}
    offsets = model.hyper_offsets()
    drawn = _drawn_hyper_latents(model)
    seen = [] if calibration is None else _seen(model, calibration)
    if isinstance(model, TrainableMlicpp):
        pictures = [Pictures(each, None, _HEADROOM) for each in drawn]
        pictures += [Pictures(each.hyper_latents, each.latents, _HEADROOM) for each in seen]
        entropy |= mlicpp_fixed_point(model.h_s, model.context, model.config, pictures, offsets)
    else:
        assert isinstance(model, TrainableHyperprior)
        met = [Calibration(each, _HEADROOM_OF_DRAWN) for each in drawn]
        met += [Calibration(each.hyper_latents, _HEADROOM) for each in seen]
        entropy |= to_fixed_point(model.h_s, met, offsets)
    for prefix, tables in (
        ("latent_tables.", gaussian_tables()),
        ("hyper_tables.", hyper_tables(model.bottleneck, offsets)),
    ):
        entropy |= {prefix + name: value for name, value in tables.items()}
    transforms = {name: value.half() for name, value in model.coding_transforms().items()}
    return transforms | {ENTROPY_PREFIX + name: value for name, value in entropy.items()}


@dataclass(frozen=True, eq=False)
class _Seen:
    """What pictures become: hyper-latents, integers, and latents, times their gains."""

    hyper_latents: Tensor
    latents: Tensor


def _seen(model: Trainable, pictures: Tensor) -> list[_Seen]:
    # One at a time: at a camera's resolution, all at once take tens of gigabytes.
    y = torch.cat([model.g_a(picture[None]) for picture in pictures])
    offsets = model.hyper_offsets()[:, None, None]
    parts = []
    for quality in torch.linspace(0.0, 1.0, _CALIBRATION_QUALITIES):
        gain, _ = model.gains(quality.expand(len(pictures)))
        scaled = y * gain[:, :, None, None]
        parts.append(_Seen((model.h_a(scaled) - offsets).round(), scaled))
    return parts


def _drawn_hyper_latents(model: Trainable) -> list[Tensor]:
    """Draw from the channels' own densities, half of the pictures even and half uneven."""
    tables = hyper_tables(model.bottleneck, model.hyper_offsets())
    cumulative = tables["cumulative"]
    generator = torch.Generator().manual_seed(0)
    channels = len(cumulative)
    shape = (channels, _DRAWN_PICTURES, *_DRAWN_SIDES)
    total = int(cumulative.max())
    uneven = torch.randint(total, shape, generator=generator, dtype=torch.int32)
    even = uneven[:, :, :1, :1].expand(shape)
    parts = []
    for draws in (even, uneven):
        flat = draws.reshape(channels, -1)
        symbols = torch.searchsorted(cumulative, flat, right=True) - 1
        integers = symbols + tables["offset"][:, None]
        parts.append(integers.view(shape).transpose(0, 1).float())
    return parts
