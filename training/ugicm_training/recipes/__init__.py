"""Recipes: functions that return everything a training run decides."""

from __future__ import annotations

from collections.abc import Callable

from ugicm_training.recipes.any_quality import (
    baseline,
    default,
    gpu,
    mlicpp,
    mlicpp_small,
    retrofit,
    retrofit_pcdm,
    tiny,
)
from ugicm_training.recipes.fixed_rate import LAMBDAS, paper, published
from ugicm_training.recipes.schema import (
    Length,
    LossWeights,
    Recipe,
    Schedule,
    Session,
    Stage,
    Trained,
    Unit,
    Views,
)

__all__ = [
    "FIXED_RATE_RECIPES",
    "LAMBDAS",
    "RECIPES",
    "Length",
    "LossWeights",
    "Recipe",
    "Schedule",
    "Session",
    "Stage",
    "Trained",
    "Unit",
    "Views",
    "baseline",
    "default",
    "gpu",
    "mlicpp",
    "mlicpp_small",
    "paper",
    "published",
    "retrofit",
    "retrofit_pcdm",
    "tiny",
]

RECIPES: dict[str, Callable[[], Recipe]] = {
    "baseline": lambda: baseline(default()),
    "default": default,
    "gpu": gpu,
    "gpu-baseline": lambda: baseline(gpu()),
    "mlicpp": mlicpp,
    "mlicpp-small": mlicpp_small,
    "mlicpp-small-baseline": lambda: baseline(mlicpp_small()),
    "paper": paper,
    "published": published,
    "retrofit": retrofit,
    "retrofit-pcdm": retrofit_pcdm,
    "tiny": tiny,
}

# Those of one lambda, which can be chosen.
FIXED_RATE_RECIPES: dict[str, Callable[[float], Recipe]] = {"paper": paper, "published": published}
