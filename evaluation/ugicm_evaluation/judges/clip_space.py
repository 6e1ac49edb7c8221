"""A semantic teacher as a judge: what a picture means, as a vector in CLIP's space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

import torchvision_cpu
from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.judges.protocol import file_hash

__all__ = ["ClipSpace"]

_SIDE = 224


class ClipSpace:
    """Answers with the teacher's vector, ``(D,)`` float32, of the picture resized to a square.

    Attributes:
        description: the teacher's own.
    """

    name = "clip_space"

    def __init__(self, weights: Path) -> None:
        """Raise ``TrainingError`` where the file holds no teacher."""
        torchvision_cpu.ensure()
        from ugicm_training.teacher import MobileNetTeacher

        self.weights_hash = file_hash(weights)
        self._teacher = MobileNetTeacher.load(weights, torch.device("cpu"))
        self.description = self._teacher.description

    def look(self, picture: Picture) -> NDArray[np.float32]:
        whole = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255.0
        square = functional.interpolate(whole, (_SIDE, _SIDE), mode="bilinear", antialias=True)
        with torch.inference_mode():
            vector: NDArray[np.float32] = self._teacher.embed(square)[0].float().numpy()
        return vector
