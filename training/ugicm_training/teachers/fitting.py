"""Fits the stand-in's mapping to CLIP's own embeddings of photos, and says how well it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional

from ugicm_training.teachers.protocol import Teacher, resize
from ugicm_training.teachers.stand_in import Features

__all__ = ["FitSettings", "Mapping", "Retrieval", "fit_mapping", "measure_retrieval"]

Picture = NDArray[np.uint8]

# Pictures that go through a network at once.
_CHUNK = 16


@dataclass(frozen=True)
class FitSettings:
    """How the mapping is fitted; defaults come from cross-validation on photos of the fit.

    Attributes:
        sides: the whole photo is seen at each of these sizes, and mirrored at the first.
        crops: random crops of each photo, resized to the first of ``sides``.
        penalty: of the ridge regression that the fit starts from, relative to the mean energy.
        steps: of Adam.
        rate: of Adam, relative to the size of the regression's weights; falls to zero.
        batch: photos in one step.
        dropout: share of the features left out at random in every step.
        temperature: of the softmax over all photos.
        seed: of everything random.
    """

    sides: tuple[int, ...] = (224, 256, 192, 160, 128)
    crops: int = 8
    penalty: float = 1.0
    steps: int = 600
    rate: float = 0.01
    batch: int = 256
    dropout: float = 0.5
    temperature: float = 0.07
    seed: int = 0


@dataclass(frozen=True)
class Mapping:
    """From pooled features to CLIP's space: ``features @ projection + offset``.

    Attributes:
        projection: ``(features, 512)`` float32.
        offset: ``(512,)`` float32.
    """

    projection: Tensor
    offset: Tensor


@dataclass(frozen=True)
class Retrieval:
    """How often CLIP's own vector of a photo is found by the teacher's.

    Attributes:
        photos: among which it is looked for.
        first: share of them for which it is the nearest.
        five: for which it is among the nearest five.
    """

    photos: int
    first: float
    five: float


def fit_mapping(
    features: Features,
    pictures: Sequence[Picture],
    embeddings: NDArray[np.float32],
    settings: FitSettings,
    progress: Progress,
) -> Mapping:
    """Fit the linear mapping from pooled features into CLIP's space.

    It starts from a ridge regression, which counts every direction of CLIP's space alike. It is
    then trained to tell photos apart: the softmax of the cosines between a photo's mapped features
    and CLIP's vectors of all photos is to name the right one (InfoNCE; van den Oord et al., 2018).
    Views of each photo and dropout stand in for more photos.

    Args:
        features: of the frozen backbone.
        pictures: photos, ``(H, W, 3)`` each.
        embeddings: their CLIP image embeddings, ``(len(pictures), 512)``.
        settings: of the fit.
        progress: shows how far it is.
    """
    seen = _seen(features, pictures, settings, progress)
    mean = seen.mean((0, 1))
    scale = _block_scale(seen - mean, features.widths)
    inputs = (seen - mean) / scale
    targets = _relative(embeddings)
    start = _ridge(inputs.flatten(0, 1), targets.repeat(len(inputs), 1), settings.penalty)
    weights, bias = _tell_apart(inputs, targets, start, settings, progress)
    projection = weights / scale[:, None]
    return Mapping(projection, bias - mean @ projection)


def measure_retrieval(
    teacher: Teacher,
    pictures: Sequence[Picture],
    embeddings: NDArray[np.float32],
    device: torch.device,
) -> Retrieval:
    """Look up every photo by the teacher's vector among CLIP's, ``(len(pictures), D)``.

    Both are relative to their means over these photos: what all photos share finds none.
    """
    own = []
    with torch.no_grad():
        for start in range(0, len(pictures), _CHUNK):
            chunk = [resize(_tensor(each), teacher) for each in pictures[start : start + _CHUNK]]
            own.append(teacher.embed(torch.cat(chunk).to(device)).cpu())
    similarity = _relative(torch.cat(own).numpy()) @ _relative(embeddings).T
    nearer = (similarity > similarity.diagonal()[:, None]).sum(1)
    return Retrieval(
        photos=len(pictures),
        first=float((nearer < 1).float().mean()),
        five=float((nearer < 5).float().mean()),
    )


def _relative(embeddings: NDArray[np.float32]) -> Tensor:
    """Return unit vectors relative to the mean of the embeddings' directions."""
    directions = functional.normalize(torch.from_numpy(embeddings).float(), dim=1)
    return functional.normalize(directions - directions.mean(0), dim=1)


def _seen(
    features: Features, pictures: Sequence[Picture], settings: FitSettings, progress: Progress
) -> Tensor:
    """Return ``(views, photos, features)``."""
    rng = np.random.default_rng(settings.seed)
    first = settings.sides[0]
    views: list[Callable[[Tensor], Tensor]] = [
        *(lambda photo, side=side: _sized(photo, side) for side in settings.sides),
        lambda photo: _sized(photo, first).flip(3),
        *(lambda photo: _random_crop(photo, first, rng) for _ in range(settings.crops)),
    ]
    rows = []
    for view in progress.track(views, description="looking at the photos"):
        chunks = []
        for start in range(0, len(pictures), _CHUNK):
            chunk = [view(_tensor(each)) for each in pictures[start : start + _CHUNK]]
            with torch.no_grad():
                chunks.append(features(torch.cat(chunk).to(features.device)).cpu())
        rows.append(torch.cat(chunks))
    return torch.stack(rows)


def _tensor(picture: Picture) -> Tensor:
    """Return ``(1, 3, H, W)`` in [0, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255.0


def _sized(photo: Tensor, side: int) -> Tensor:
    """Return the whole photo as a square, squeezed where it is none."""
    if photo.shape[2:] == (side, side):
        return photo
    return functional.interpolate(photo, (side, side), mode="bilinear", antialias=True)


def _random_crop(photo: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    """Return half of the photo or more, of a changed shape, side and brightness."""
    height, width = photo.shape[2:]
    area, stretch = rng.uniform(0.5, 1.0), np.exp(rng.uniform(-0.15, 0.15))
    rows = min(height, round(height * area**0.5 / stretch))
    columns = min(width, round(width * area**0.5 * stretch))
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    crop = _sized(photo[:, :, top : top + rows, left : left + columns], side)
    lit = (crop * rng.uniform(0.85, 1.15)).clamp(0.0, 1.0)
    return lit.flip(3) if rng.integers(2) else lit


def _block_scale(inputs: Tensor, widths: Sequence[int]) -> Tensor:
    """Return ``(features,)``: what divides each block's features so that all blocks count alike."""
    norms = [block.norm(dim=2).mean() for block in inputs.split(tuple(widths), dim=2)]
    return torch.cat([norm.expand(width) for norm, width in zip(norms, widths, strict=True)])


def _ridge(inputs: Tensor, targets: Tensor, penalty: float) -> Mapping:
    centre = inputs.mean(0)
    centred = inputs - centre
    gram = centred.T @ centred
    gram.diagonal().add_(penalty * gram.diagonal().mean())
    weights = torch.linalg.solve(gram, centred.T @ (targets - targets.mean(0)))
    return Mapping(weights, -centre @ weights)


def _tell_apart(
    inputs: Tensor, targets: Tensor, start: Mapping, settings: FitSettings, progress: Progress
) -> tuple[Tensor, Tensor]:
    """Return the weights ``(features, 512)`` and the bias that name the right photos."""
    generator = torch.Generator().manual_seed(settings.seed)
    count = inputs.shape[1]
    weights = start.projection.clone().requires_grad_()
    bias = start.offset.clone().requires_grad_()
    rate = settings.rate * float(weights.detach().std())
    optimizer = torch.optim.Adam([weights, bias])
    for step in progress.track(range(settings.steps), description="telling them apart"):
        photo = torch.randint(count, (settings.batch,), generator=generator)
        view = torch.randint(len(inputs), (settings.batch,), generator=generator)
        rows = inputs[view, photo]
        kept = torch.rand(rows.shape, generator=generator) >= settings.dropout
        mapped = (rows * kept / (1.0 - settings.dropout)) @ weights + bias
        similarity = functional.normalize(mapped, dim=1) @ targets.T
        loss = functional.cross_entropy(similarity / settings.temperature, photo)
        optimizer.param_groups[0]["lr"] = rate * (1.0 - step / settings.steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weights.detach(), bias.detach()
