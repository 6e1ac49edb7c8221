"""Teachers: frozen networks that say what a picture means, as a vector in CLIP's space.

CLIP itself is the paper's teacher. Where its weights cannot be had, the stand-in here is a
MobileNetV2 (Sandler et al., CVPR 2018) whose features are projected onto CLIP's own embeddings
of a few hundred photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import mobilenet_v2

from ugicm_training.errors import MissingWeights

__all__ = ["MobileNetTeacher", "Teacher", "fit_projection", "retrieval"]

_FEATURES = 1280
# Pixels along both sides at which the projection is fitted.
_FITTED_SIDE = 224


class Teacher(Protocol):
    """A frozen network from pictures to vectors in CLIP's image space.

    Attributes:
        description: names the teacher in training records.
    """

    description: str

    def embed(self, pictures: Tensor) -> Tensor:
        """Return ``(N, 512)`` for ``(N, 3, H, W)`` in [0, 1]; gradients reach the pictures."""
        ...


class MobileNetTeacher:
    """MobileNetV2 features with a linear projection into CLIP's space.

    Convolutional up to its pooling, it sees pictures at the size they have.
    """

    description = "CLIP-distilled MobileNetV2 teacher (ridge projection onto CLIP ViT-B/32)"

    def __init__(self, backbone: Mapping[str, Tensor], projection: Tensor, offset: Tensor) -> None:
        network = mobilenet_v2()
        network.load_state_dict(backbone)
        self._features: nn.Module = network.features.eval().requires_grad_(False)
        self._features.to(projection.device, memory_format=torch.channels_last)
        self._projection = projection
        self._offset = offset

    @classmethod
    def load(cls, path: Path, device: torch.device) -> MobileNetTeacher:
        """Read a teacher that ``fit_projection`` made, onto ``device``.

        Raises:
            MissingWeights: no such file, or one of another kind.
        """
        try:
            tensors = {name: value.float() for name, value in load_file(path).items()}
            tensors = {name: value.to(device) for name, value in tensors.items()}
            projection, offset = tensors.pop("projection"), tensors.pop("offset")
            return cls(tensors, projection, offset)
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise MissingWeights(f"{path} holds no fitted teacher: {reason}") from error

    def features(self, pictures: Tensor) -> Tensor:
        """Return pooled features of unit length, ``(N, 1280)``."""
        maps = self._features(2.0 * pictures - 1.0)
        return functional.normalize(functional.adaptive_avg_pool2d(maps, 1).flatten(1).float())

    def embed(self, pictures: Tensor) -> Tensor:
        """Return ``(N, 512)`` for ``(N, 3, H, W)`` in [0, 1].

        Vectors are relative to the mean of CLIP's: what all photos share says nothing of one.
        """
        return self.features(pictures) @ self._projection + self._offset


def fit_projection(
    weights: Path,
    pictures: Sequence[NDArray[np.uint8]],
    embeddings: NDArray[np.float32],
    *,
    penalty: float,
) -> tuple[MobileNetTeacher, bytes]:
    """Fit the projection by ridge regression.

    Args:
        weights: torchvision's ``mobilenet_v2`` as safetensors.
        pictures: photos, uint8 ``(H, W, 3)``.
        embeddings: their CLIP image embeddings, ``(len(pictures), 512)``.
        penalty: of the squared projection, relative to the features' mean energy.

    Returns:
        The teacher, and the bytes of a file that ``MobileNetTeacher.load`` reads.

    Raises:
        MissingWeights: the weights cannot be read.
    """
    try:
        backbone = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise MissingWeights(f"{weights} cannot be read: {error}") from error
    floats = {name: value.float() for name, value in backbone.items()}
    blank = torch.zeros(_FEATURES, 1), torch.zeros(1)
    features = _features_of(MobileNetTeacher(floats, *blank), pictures).double()
    targets = functional.normalize(torch.from_numpy(embeddings).double(), dim=1)
    mean = features.mean(0)
    centred = features - mean
    energy = centred.square().sum() / _FEATURES
    gram = centred.T @ centred + penalty * energy * torch.eye(_FEATURES, dtype=torch.float64)
    projection = torch.linalg.solve(gram, centred.T @ (targets - targets.mean(0)))
    offset = -mean @ projection
    fitted = MobileNetTeacher(floats, projection.float(), offset.float())
    file = {**backbone, "projection": projection.half().contiguous(), "offset": offset.half()}
    return fitted, save(file)


def retrieval(
    teacher: MobileNetTeacher,
    pictures: Sequence[NDArray[np.uint8]],
    embeddings: NDArray[np.float32],
) -> tuple[float, float]:
    """Return how often CLIP's own vector of a photo is the nearest, and among the nearest five."""
    with torch.no_grad():
        own = _features_of(teacher, pictures) @ teacher._projection + teacher._offset
    targets = functional.normalize(torch.from_numpy(embeddings).float(), dim=1)
    relative = functional.normalize(targets - targets.mean(0), dim=1)
    similarity = functional.normalize(own, dim=1) @ relative.T
    ranks = (similarity > similarity.diagonal()[:, None]).sum(1)
    return float((ranks < 1).float().mean()), float((ranks < 5).float().mean())


@torch.no_grad()
def _features_of(teacher: MobileNetTeacher, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    rows = []
    for picture in pictures:
        whole = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
        square = functional.interpolate(
            whole / 255.0, (_FITTED_SIDE, _FITTED_SIDE), mode="bilinear", antialias=True
        )
        rows.append(teacher.features(square))
    return torch.cat(rows)
