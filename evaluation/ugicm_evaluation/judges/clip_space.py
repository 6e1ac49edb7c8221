"""A semantic teacher as a judge: what a picture means, as a vector in CLIP's space."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.judges.protocol import file_hash
from ugicm_training.teachers.opening import open_teacher
from ugicm_training.teachers.protocol import resize

__all__ = ["ClipSpace", "teacher_hash", "weights_file"]


def weights_file(specification: str) -> Path | None:
    """Return the file that a teacher's specification names; None where it names a tag."""
    path = Path(specification.split(":", 2)[-1].rpartition("=")[2])
    return path if path.is_file() else None


def teacher_hash(specification: str) -> str:
    """Return the SHA-256 of a teacher's file, in hexadecimal; of a tag where it has none."""
    path = weights_file(specification)
    return hashlib.sha256(specification.encode()).hexdigest() if path is None else file_hash(path)


class ClipSpace:
    """Answers with the teacher's vector, ``(D,)`` float32, of the picture resized to a square.

    Attributes:
        description: the teacher's own.
    """

    name = "clip_space"

    def __init__(self, specification: str) -> None:
        """Open a teacher as ``ugicm_training.teachers.opening`` does, with its errors."""
        self._teacher = open_teacher(specification, torch.device("cpu"))
        self.description = self._teacher.description
        self.weights_hash = teacher_hash(specification)

    def look(self, picture: Picture) -> NDArray[np.float32]:
        whole = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255.0
        with torch.inference_mode():
            vector = self._teacher.embed(resize(whole, self._teacher))[0]
        answer: NDArray[np.float32] = vector.float().numpy()
        return answer
