"""What each picture of one step is coded, decoded and judged for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugicm_training.randomness import Draw, generator_at
from ugicm_training.recipes import Schedule, Session, Stage, Views

__all__ = ["Plan", "draw_plan"]


@dataclass(frozen=True)
class Plan:
    """One number for each picture of a batch, ``(N,)`` float32 each.

    Attributes:
        quality: in [0, 1].
        view: in [0, 1].
        rate: weight of bits per pixel.
        distortion: weight of the squared error of pixels in grey levels.
        semantic: weight of MS-CLIP.
        asking: ``(K,)`` int64, the pictures whose ``semantic`` is positive, ascending.
    """

    quality: Tensor
    view: Tensor
    rate: Tensor
    distortion: Tensor
    semantic: Tensor
    asking: Tensor

    @classmethod
    def of(
        cls, *, quality: Tensor, view: Tensor, rate: Tensor, distortion: Tensor, semantic: Tensor
    ) -> Plan:
        """Return a plan, on the CPU."""
        return cls(quality, view, rate, distortion, semantic, asking=semantic.nonzero()[:, 0])

    def part(self, rank: int, world: int) -> Plan:
        """Return the pictures of one of ``world`` devices."""
        return Plan.of(
            quality=self.quality[rank::world],
            view=self.view[rank::world],
            rate=self.rate[rank::world],
            distortion=self.distortion[rank::world],
            semantic=self.semantic[rank::world],
        )

    def to(self, device: torch.device) -> Plan:
        """Return the same plan on another device."""
        moved = {
            field.name: getattr(self, field.name).to(device, non_blocking=True)
            for field in fields(self)
        }
        return Plan(**moved)


def draw_plan(
    stage: Stage,
    *,
    seed: int,
    lambda_of: Callable[[Tensor], Tensor],
    index: int,
    step: int,
    epoch_steps: int,
) -> Plan:
    """Return the plan of one step, over the batches of all devices.

    Args:
        seed: of the run.
        lambda_of: gives lambda, ``(N,)``, for qualities ``(N,)``.
        index: of the stage in the recipe.
        epoch_steps: steps of one pass over the pictures.
    """
    rng = generator_at(seed, Draw.PLAN, index, step)
    # Stratified: every batch covers the range of qualities, and that of views in another order.
    position = (np.arange(stage.batch) + rng.random(stage.batch)) / stage.batch
    lowest, highest = stage.qualities
    quality = lowest + (highest - lowest) * position
    lambdas = lambda_of(_tensor(quality)).numpy()
    shuffled = rng.permutation(stage.batch)
    view, rate, distortion, semantic = (np.zeros(stage.batch) for _ in range(4))
    for session, slots in _shares(stage, shuffled, step=step, epoch_steps=epoch_steps):
        drawn = _draw_views(session.views, len(slots), rng)
        weights = session.weights
        view[slots] = drawn
        rate[slots] = weights.rate
        whole = lambdas[slots] if weights.distortion is None else weights.distortion
        distortion[slots] = whole * (1.0 - drawn * (1.0 - weights.machine_distortion))
        semantic[slots] = weights.semantic * drawn
    return Plan.of(
        quality=_tensor(quality),
        view=_tensor(view),
        rate=_tensor(rate),
        distortion=_tensor(distortion),
        semantic=_tensor(semantic),
    )


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _shares(
    stage: Stage, slots: NDArray[np.int64], *, step: int, epoch_steps: int
) -> Iterator[tuple[Session, NDArray[np.int64]]]:
    count = len(stage.sessions)
    if stage.schedule is Schedule.MIXED:
        for number, session in enumerate(stage.sessions):
            yield session, slots[number::count]
    else:
        # An epoch of fewer steps than sessions would never come to the later ones.
        epoch = max(epoch_steps, count)
        yield stage.sessions[step % epoch * count // epoch], slots


def _draw_views(views: Views, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    between, first = rng.random(), rng.integers(6)
    human, machine = 0.0, 1.0
    kinds = {
        Views.HUMAN: [human],
        Views.MACHINE: [machine],
        Views.ENDS: [human, machine],
        Views.BETWEEN: [between],
        Views.ALL: [human, machine, between],
    }[views]
    # Where the number does not divide evenly, it is drawn which kind has a picture more.
    drawn: NDArray[np.float64] = np.array(kinds)[(first + np.arange(count)) % len(kinds)]
    return drawn
