"""Recipes: functions that return everything a training run decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from ugicm_codec.models.bmshj2018 import Bmshj2018Config
from ugicm_training.losses import LossWeights

__all__ = ["RECIPES", "Recipe", "Stage", "Trained", "Views", "default", "tiny"]


class Trained(Enum):
    """What a stage changes."""

    EVERYTHING = "everything"
    SYNTHESIS = "synthesis"


class Views(Enum):
    """Which views a stage draws, one for each picture."""

    HUMAN = "human"
    # A third human, a third machine, a third evenly between, so that the whole range means
    # something (the published recipe draws the two ends alone).
    ALL = "all"


@dataclass(frozen=True)
class Stage:
    """Some steps of one kind.

    Attributes:
        name: in the log and the record.
        steps: optimiser steps.
        batch: pictures a step.
        crop: pixels along a crop's side, a multiple of 64.
        first_rate: learning rate at the start, after the warm-up.
        last_rate: learning rate at the end; falls linearly in between.
        trained: what changes.
        views: which views are drawn.
    """

    name: str
    steps: int
    batch: int
    crop: int
    first_rate: float
    last_rate: float
    trained: Trained
    views: Views


@dataclass(frozen=True)
class Recipe:
    """Everything a training run decides.

    Attributes:
        config: the network's sizes.
        knots: of the gains, over the quality range.
        lambdas: distortion's weight at quality 0 and 100, on the scale of grey levels.
        quality_steps: of the exported model.
        weights: of the loss.
        stages: in order.
        view_rate: learning rate of the view's network relative to the others'. Its terms are sums
            over hundreds of features, so that equal steps would throw them about.
        warmup_steps: over which each stage's learning rate rises.
        gradient_norm: to which gradients are clipped.
        held_out: pictures at the end of the set that are never trained on.
        minimum_side: pixels; smaller pictures are left out.
        validation_every: steps.
        checkpoint_every: steps.
        seed: of crops, noise, qualities and views.
    """

    name: str
    config: Bmshj2018Config
    knots: int
    lambdas: tuple[float, float]
    quality_steps: int
    weights: LossWeights
    stages: tuple[Stage, ...]
    view_rate: float
    warmup_steps: int
    gradient_norm: float
    held_out: int
    minimum_side: int
    validation_every: int
    checkpoint_every: int
    seed: int


def default() -> Recipe:
    """Return the recipe of the shipped model: small enough for a laptop, one model, any quality.

    The backbone learns the human view first, at all qualities; then encoder and entropy model are
    frozen (the paper's second stage) and the synthesis learns all views, so that the last steps
    cost no bits.
    """
    backbone = Stage(
        name="backbone",
        steps=27_600,
        batch=8,
        crop=128,
        first_rate=5e-4,
        last_rate=0.0,
        trained=Trained.EVERYTHING,
        views=Views.HUMAN,
    )
    views = replace(
        backbone,
        name="views",
        steps=1_800,
        batch=4,
        crop=192,
        first_rate=2e-4,
        trained=Trained.SYNTHESIS,
        views=Views.ALL,
    )
    return Recipe(
        name="default",
        config=Bmshj2018Config(channels=64, latent_channels=96, view_features=256, view_octaves=4),
        knots=5,
        lambdas=(0.0016, 0.032),
        quality_steps=101,
        weights=LossWeights(semantic=4.0, machine_distortion=0.5),
        stages=(backbone, views),
        view_rate=0.3,
        warmup_steps=300,
        gradient_norm=1.0,
        held_out=64,
        minimum_side=192,
        validation_every=1_000,
        checkpoint_every=500,
        seed=1,
    )


def tiny() -> Recipe:
    """Return a recipe that runs end to end in seconds: for tests, and to try the trainer."""
    base = default()
    backbone, views = base.stages
    return replace(
        base,
        name="tiny",
        config=Bmshj2018Config(channels=8, latent_channels=12, view_features=16, view_octaves=2),
        knots=2,
        quality_steps=3,
        stages=(
            replace(backbone, steps=6, batch=2, crop=64),
            replace(views, steps=4, batch=2, crop=64),
        ),
        warmup_steps=2,
        held_out=1,
        minimum_side=64,
        validation_every=5,
        checkpoint_every=2,
    )


RECIPES = {"default": default, "tiny": tiny}
