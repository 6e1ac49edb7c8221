"""The first checkpoint of a run: from scratch, or from a model that exists."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ugicm_training.backbones import new_model
from ugicm_training.checkpoints import (
    Checkpoint,
    Inputs,
    Position,
    read_checkpoint,
    recipe_as_json,
)
from ugicm_training.model import Trainable
from ugicm_training.pretrained import load_start
from ugicm_training.randomness import Draw, seed_at
from ugicm_training.recipes import Recipe

__all__ = ["first_checkpoint"]


def first_checkpoint(
    recipe: Recipe, inputs: Inputs, *, pictures: int, start: str | None
) -> Checkpoint:
    """Return where a new run of ``recipe`` begins.

    Args:
        inputs: of the run.
        pictures: that are trained on.
        start: a model file, a bundled model or a checkpoint, with whose parameters the run
            begins. Sizes, knots, lambdas and quality steps of the recipe give way to its own; where
            the recipe's model has two ends and this one has not, both begin with its synthesis.

    Raises:
        BadCheckpoint: ``start`` is a damaged checkpoint.
        ModelError: ``start`` is no model file either.
        BadStart: it is a model file that cannot be trained further.
    """
    if start is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_at(recipe.seed, Draw.WEIGHTS))
            model = new_model(recipe.config, knots=recipe.knots, lambdas=recipe.lambdas)
        return _checkpoint(
            recipe, inputs, model.state_dict(), base=None, origin=None, pictures=pictures
        )
    path = Path(start)
    if _is_checkpoint(path):
        old = read_checkpoint(path)
        model = _with_ends(old.model(), recipe)
        adapted = replace(
            recipe,
            config=model.config,
            knots=old.recipe.knots,
            lambdas=old.recipe.lambdas,
            quality_steps=old.recipe.quality_steps,
        )
        origin: dict[str, Any] = {"checkpoint": path.name, "training": old.record}
        return _checkpoint(
            adapted, inputs, model.state_dict(), base=old.base, origin=origin, pictures=pictures
        )
    loaded = load_start(start)
    model = _with_ends(loaded.model, recipe)
    steps = recipe.quality_steps
    if loaded.base is not None:
        steps = len(loaded.base["entropy.gain"])
    adapted = replace(
        recipe,
        config=model.config,
        knots=len(model.gains.log_gain),
        lambdas=model.gains.lambdas,
        quality_steps=steps,
    )
    origin = {"model": path.name}
    if loaded.info is not None:
        origin |= {"sha256": loaded.info.sha256, "training": loaded.info.training}
    return _checkpoint(
        adapted, inputs, model.state_dict(), base=loaded.base, origin=origin, pictures=pictures
    )


def _with_ends(model: Trainable, recipe: Recipe) -> Trainable:
    if recipe.config.two_ended and not model.config.two_ended:
        return model.with_two_ends()
    return model


def _checkpoint(
    recipe: Recipe,
    inputs: Inputs,
    parameters: Any,
    *,
    base: Any,
    origin: dict[str, Any] | None,
    pictures: int,
) -> Checkpoint:
    record: dict[str, Any] = {
        "recipe": recipe_as_json(recipe),
        "data": {"training": pictures, "held_out": recipe.held_out, "digest": inputs.digest},
        "teacher": inputs.teacher_description,
        "masks": inputs.masks_description,
        "start": origin,
        "runs": [],
        "stages": {},
        "validation": [],
    }
    return Checkpoint(
        recipe=recipe,
        position=Position(stage=0, step=0),
        model_state=parameters,
        optimizer_state=None,
        inputs=inputs,
        record=record,
        base=base,
    )


def _is_checkpoint(path: Path) -> bool:
    """Whether a file is a zip, as PyTorch's are; model files begin with a length."""
    return path.is_file() and zipfile.is_zipfile(path)
