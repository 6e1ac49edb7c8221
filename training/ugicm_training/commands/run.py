"""Train a model from its recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from ugicm_training.commands.options import PATH, READABLE
from ugicm_training.commands.sitting import Sitting, sitting_options
from ugicm_training.data import Storage
from ugicm_training.ms_clip import Term
from ugicm_training.recipes import FIXED_RATE_RECIPES, LAMBDAS, RECIPES, Length, Recipe
from ugicm_training.starting import first_checkpoint
from ugicm_training.teachers.opening import SPECIFICATIONS

__all__ = ["run"]


@click.command()
@click.argument("photos", type=READABLE)
@click.option("--recipe", type=click.Choice(sorted(RECIPES)), default="default", show_default=True)
@click.option("--checkpoint", type=PATH, required=True, help="Written while training.")
@click.option("--teacher", help=SPECIFICATIONS)
@click.option("--masks", type=READABLE, help="Instances, from `ugicm-train masks`.")
@click.option(
    "--start", help="Begin with the parameters of this model file, bundled model or checkpoint."
)
@click.option(
    "--data",
    type=click.Choice([each.value for each in Storage]),
    default=Storage.MEMORY.value,
    show_default=True,
    help="Decode pictures once, or again from disk: for sets that memory does not hold.",
)
@click.option(
    "--lambda",
    "lambda_",
    type=click.FloatRange(LAMBDAS[0], LAMBDAS[-1]),
    help="Of a recipe of one rate; those are " + " and ".join(FIXED_RATE_RECIPES) + ".",
)
@click.option("--stage", "stages", multiple=True, help="Run this stage alone; may be repeated.")
@click.option(
    "--steps", multiple=True, metavar="STAGE=N", help="Length of a stage; may be repeated."
)
@click.option("--terms", help="Of MS-CLIP: some of global,local,instance.")
@click.option(
    "--teacher-side",
    type=click.IntRange(32),
    help="Pixels along both sides of what the teacher is shown: fewer is faster.",
)
@sitting_options
def run(
    sitting: Sitting,
    photos: Path,
    recipe: str,
    checkpoint: Path,
    teacher: str | None,
    masks: Path | None,
    start: str | None,
    data: str,
    lambda_: float | None,
    stages: Sequence[str],
    steps: Sequence[str],
    terms: str | None,
    teacher_side: int | None,
) -> None:
    """Train on the pictures and .tar shards under PHOTOS.

    Example: ugicm-train run photos/ --teacher stand-in:teacher.safetensors --masks photos.masks
    --checkpoint run.pt
    """
    if checkpoint.exists():
        raise click.UsageError(f"{checkpoint} exists: `ugicm-train resume` goes on from it")
    if not checkpoint.parent.is_dir():
        raise click.UsageError(f"no folder {checkpoint.parent} for the checkpoint")
    chosen = _chosen(recipe, lambda_)
    chosen = _with_stages(chosen, stages)
    chosen = _with_steps(chosen, steps)
    if terms is not None:
        chosen = _with_terms(chosen, terms)
    if teacher_side is not None:
        chosen = replace(chosen, teacher_side=teacher_side)
    fabric = sitting.launch()
    opened = sitting.open(
        fabric, chosen, photos=photos, storage=Storage(data), teacher=teacher, masks=masks
    )
    first = first_checkpoint(chosen, opened.inputs, pictures=opened.pictures.count, start=start)
    sitting.train(fabric, first, opened, checkpoint)


def _chosen(name: str, lambda_: float | None) -> Recipe:
    if lambda_ is None:
        return RECIPES[name]()
    if name not in FIXED_RATE_RECIPES:
        raise click.UsageError(f"recipe {name} has a range of qualities, not one lambda")
    return FIXED_RATE_RECIPES[name](lambda_)


def _with_stages(recipe: Recipe, names: Sequence[str]) -> Recipe:
    _check_names(recipe, names)
    kept = tuple(stage for stage in recipe.stages if not names or stage.name in names)
    return replace(recipe, stages=kept)


def _with_steps(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    counts: dict[str, int] = {}
    for setting in settings:
        name, _, count = setting.partition("=")
        if not count.isdecimal() or int(count) == 0:
            raise click.UsageError(f"--steps takes STAGE=N with N of at least 1, got {setting!r}")
        counts[name] = int(count)
    _check_names(recipe, list(counts))
    return replace(
        recipe,
        stages=tuple(
            replace(stage, length=Length(counts[stage.name])) if stage.name in counts else stage
            for stage in recipe.stages
        ),
    )


def _with_terms(recipe: Recipe, names: str) -> Recipe:
    known = {term.value: term for term in Term}
    chosen = [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in known:
            raise click.UsageError(f"MS-CLIP has the terms {', '.join(known)}; got {name!r}")
    terms = tuple(known[name] for name in chosen)
    return replace(recipe, stages=tuple(replace(stage, terms=terms) for stage in recipe.stages))


def _check_names(recipe: Recipe, names: Sequence[str]) -> None:
    known = [stage.name for stage in recipe.stages]
    for name in names:
        if name not in known:
            raise click.UsageError(
                f"recipe {recipe.name} has the stages {', '.join(known)}; got {name!r}"
            )
