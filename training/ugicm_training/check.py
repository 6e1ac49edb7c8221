"""Holds a model file against the float model that it was exported from, on real pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugicm_codec import Codec
from ugicm_codec.models.modelfile import read_model_file
from ugicm_codec.views import HUMAN, MACHINE
from ugicm_training.agreement import Agreement, Verdict, agreements
from ugicm_training.errors import BadStart
from ugicm_training.model import Trainable
from ugicm_training.saturation import Saturation

__all__ = ["CheckResult", "QualityRow", "check_export"]

Picture = NDArray[np.uint8]

# Sides that the float model takes: pictures are cropped to multiples of it.
_STRIDE = 64

_QUALITIES = (0, 25, 50, 75, 100)

_ALLOWED_SHARE, _ALLOWED_BYTES = 0.005, 64


@dataclass(frozen=True)
class QualityRow:
    """One quality, over all pictures.

    Attributes:
        quality: 0 to 100.
        stream_bpp: bits per pixel of whole streams.
        estimated_bpp: of the float model's likelihoods at rounded values.
        worst: the picture whose stream differs most from its estimate, as a share of what is
            allowed: 1 is the limit.
        float_psnr: dB, mean over pictures, of the human and the machine view.
        export_psnr: the same of the decoded streams.
    """

    quality: int
    stream_bpp: float
    estimated_bpp: float
    worst: float
    float_psnr: tuple[float, float]
    export_psnr: tuple[float, float]


@dataclass(frozen=True)
class CheckResult:
    """Everything that was compared.

    Attributes:
        rows: one a quality.
        agreements: one a device, thread count and product.
        saturated: share of the exact network's activations that are at their limit, where they
            would cost bits.
    """

    rows: tuple[QualityRow, ...]
    agreements: tuple[Agreement, ...]
    saturated: float

    @property
    def passed(self) -> bool:
        """Whether streams have their estimated sizes, and latents are the same everywhere."""
        return (
            all(row.worst <= 1.0 for row in self.rows)
            and all(each.verdict is not Verdict.DIFFERENT for each in self.agreements)
            and self.saturated == 0.0
        )


def check_export(path: Path | str, model: Trainable, pictures: Sequence[Picture]) -> CheckResult:
    """Code ``pictures`` with the model file and with the float model.

    Args:
        path: of the model file, or a bundled model's name.
        model: that the file was exported from, on the CPU.
        pictures: uint8 ``(H, W, 3)``, sides from 64 pixels on.

    Raises:
        ModelError: the file is no model that runs here.
        BadStart: it is a model of other sizes than ``model``.
    """
    file = read_model_file(str(path))
    if file.config != model.config:
        raise BadStart(f"{path} has {file.config}, the float model {model.config}")
    codec = Codec.load(str(path))
    cropped = [_cropped(picture) for picture in pictures]
    steps = codec.model.quality_steps
    rows: list[QualityRow] = []
    streams: list[list[bytes]] = []
    saturated: list[float] = []
    saturation = Saturation(file)
    for quality in _QUALITIES if steps > 1 else _QUALITIES[-1:]:
        coded = [_Coded.by(codec, model, picture, quality) for picture in cropped]
        rows.append(_row(quality, coded))
        streams.append([each.stream for each in coded])
        saturated += [saturation.share(each.hyper, each.stream) for each in coded]
    return CheckResult(
        rows=tuple(rows),
        agreements=tuple(agreements(str(path), _one_of_each(streams))),
        saturated=float(np.mean(saturated)),
    )


@dataclass(frozen=True, eq=False)
class _Coded:
    """One picture at one quality, by the export and by the float model."""

    stream: bytes
    pixels: int
    estimated_bytes: float
    float_psnr: tuple[float, float]
    export_psnr: tuple[float, float]
    hyper: Tensor

    @property
    def excess(self) -> float:
        """How far the stream is from its estimate, as a share of what is allowed."""
        allowed = _ALLOWED_SHARE * self.estimated_bytes + _ALLOWED_BYTES
        return abs(len(self.stream) - self.estimated_bytes) / allowed

    @classmethod
    @torch.inference_mode()
    def by(cls, codec: Codec, model: Trainable, picture: Picture, quality: int) -> _Coded:
        stream = codec.encode(picture, quality)
        decoded = codec.decode_views(stream, [HUMAN, MACHINE])
        # The step that was coded, not the quality asked for: files may have few steps.
        step = codec.decode_latents(stream).quality_step
        position = step / max(1, codec.model.quality_steps - 1)
        original = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255.0
        gain, inverse = model.gains(torch.tensor([position]))
        y = model.g_a(original) * gain[:, :, None, None]
        z = model.h_a(y)
        z_hat, z_likelihoods = model.bottleneck(z, training=False)
        predicted = model.predict(y, model.h_s(z_hat), precision=torch.float32)
        y_likelihoods = model.gaussian(y, predicted.scales, predicted.means, training=False)[1]
        bits = sum(float(-torch.log2(each).sum()) for each in (y_likelihoods, z_likelihoods))
        views = [
            model.synthesise(
                predicted.y_hat * inverse[:, :, None, None],
                torch.tensor([view]),
                precision=torch.float32,
            )
            for view in (HUMAN, MACHINE)
        ]
        human, machine = (
            view[0].clamp(0.0, 1.0).mul(255.0).round().permute(1, 2, 0).numpy() for view in views
        )
        return cls(
            stream=stream,
            pixels=picture.shape[0] * picture.shape[1],
            estimated_bytes=bits / 8,
            float_psnr=(_psnr(human, picture), _psnr(machine, picture)),
            export_psnr=(_psnr(decoded[0], picture), _psnr(decoded[1], picture)),
            hyper=(z - model.hyper_offsets()[:, None, None]).round(),
        )


def _cropped(picture: Picture) -> Picture:
    height, width = (side // _STRIDE * _STRIDE for side in picture.shape[:2])
    return picture[:height, :width].copy()


def _one_of_each(streams: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Return each picture's stream at one of the qualities, every quality in turn."""
    return [streams[index % len(streams)][index] for index in range(len(streams[0]))]


def _row(quality: int, coded: Sequence[_Coded]) -> QualityRow:
    pixels = sum(each.pixels for each in coded)

    def mean(values: Callable[[_Coded], tuple[float, float]]) -> tuple[float, float]:
        human, machine = np.mean([values(each) for each in coded], axis=0)
        return float(human), float(machine)

    return QualityRow(
        quality=quality,
        stream_bpp=8 * sum(len(each.stream) for each in coded) / pixels,
        estimated_bpp=8 * sum(each.estimated_bytes for each in coded) / pixels,
        worst=max(each.excess for each in coded),
        float_psnr=mean(lambda each: each.float_psnr),
        export_psnr=mean(lambda each: each.export_psnr),
    )


def _psnr(decoded: NDArray[np.generic], picture: Picture) -> float:
    error = np.mean((decoded.astype(np.float64) - picture) ** 2)
    return float(10 * np.log10(255.0**2 / max(float(error), 1e-9)))
