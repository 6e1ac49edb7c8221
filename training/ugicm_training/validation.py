"""Measures a model being trained by what it is for: real streams, and both views of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from ugicm_codec import Codec
from ugicm_training.data import PhotoSet
from ugicm_training.data.decoding import Picture
from ugicm_training.export import calibration_crops, export_model
from ugicm_training.model import Trainable
from ugicm_training.teachers.protocol import Teacher, resize

__all__ = ["ValidationPoint", "validate"]

_QUALITIES = (0, 25, 50, 75, 100)


@dataclass(frozen=True)
class ValidationPoint:
    """Means over the validation pictures at one quality.

    Attributes:
        quality: 0 to 100.
        bits_per_pixel: of whole streams.
        psnr_human: dB, of the human view.
        psnr_machine: dB, of the machine view.
        similarity_human: cosine between the teacher's vectors of the picture and its human view;
            None without a teacher.
        similarity_machine: the same of the machine view.
    """

    quality: int
    bits_per_pixel: float
    psnr_human: float
    psnr_machine: float
    similarity_human: float | None
    similarity_machine: float | None

    def as_json(self) -> list[float | None]:
        return [None if value is None else round(value, 4) for value in astuple(self)]

    def as_line(self) -> str:
        """Return the figures for a log."""
        line = (
            f"quality {self.quality}: {self.bits_per_pixel:.3f} bpp, human {self.psnr_human:.2f} "
            f"dB, machine {self.psnr_machine:.2f} dB"
        )
        if self.similarity_human is None or self.similarity_machine is None:
            return line
        return f"{line}, similarity {self.similarity_human:.3f} and {self.similarity_machine:.3f}"


def validate(
    model: Trainable,
    photos: PhotoSet,
    calibration: PhotoSet,
    *,
    quality_steps: int,
    teacher: Teacher | None,
    device: torch.device,
) -> list[ValidationPoint]:
    """Export the model, and code the photos with it.

    Args:
        model: on the CPU.
        photos: never trained on.
        calibration: for the export.
        quality_steps: of the export.
        device: that codes, and holds the teacher.
    """
    data = export_model(
        model,
        calibration=calibration_crops(calibration),
        quality_steps=quality_steps,
        training={},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "validation.safetensors"
        path.write_bytes(data)
        codec = Codec.load(str(path), str(device))
    qualities = _QUALITIES if quality_steps > 1 else _QUALITIES[:1]
    return [_point(codec, photos.pictures, quality, teacher, device) for quality in qualities]


def _point(
    codec: Codec,
    pictures: Sequence[Picture],
    quality: int,
    teacher: Teacher | None,
    device: torch.device,
) -> ValidationPoint:
    rows = []
    for picture in pictures:
        stream = codec.encode(picture, quality)
        human, machine = codec.decode_views(stream, ["human", "machine"])
        rows.append(
            [
                8 * len(stream) / (picture.shape[0] * picture.shape[1]),
                _psnr(picture, human),
                _psnr(picture, machine),
                *(_similarities(teacher, device, picture, human, machine) if teacher else ()),
            ]
        )
    rate, human_psnr, machine_psnr, *similarities = np.mean(rows, axis=0).tolist()
    return ValidationPoint(
        quality, rate, human_psnr, machine_psnr, *(similarities if teacher else (None, None))
    )


def _psnr(one: Picture, other: Picture) -> float:
    error = float(np.mean((one.astype(np.float32) - other) ** 2))
    return 10.0 * float(np.log10(255.0**2 / max(error, 1e-3)))


@torch.no_grad()
def _similarities(
    teacher: Teacher, device: torch.device, picture: Picture, *views: Picture
) -> list[float]:
    stacked = torch.from_numpy(np.stack([picture, *views])).to(device).permute(0, 3, 1, 2)
    vectors = teacher.embed(resize(stacked.float() / 255.0, teacher))
    original, *others = functional.normalize(vectors, dim=1)
    return [float(original @ other) for other in others]
