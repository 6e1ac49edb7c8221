"""``ugicm-evaluate preset``: a table or figure of the paper, on what the user has."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ugicm_evaluation.commands.options import CACHE, PROCESSES
from ugicm_evaluation.commands.run import finish
from ugicm_evaluation.presets.benchmark import Setting
from ugicm_evaluation.presets.presets import PRESETS, Material, make_config
from ugicm_evaluation.runs.make import make_run

__all__ = ["preset"]


def _list(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value:
        for name, one in PRESETS.items():
            click.echo(f"{name:24}{one.about}")
        context.exit()


@click.command()
@click.argument("name", type=click.Choice(list(PRESETS)), metavar="NAME")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list,
    help="Say what presets there are, and end.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Say what it measures, what it needs and where to put that, and end.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    help="Folder with the data sets, and with weights/ and models/.",
)
@click.option(
    "--setting",
    type=click.Choice([one.value for one in Setting]),
    default=Setting.PAPER.value,
    show_default=True,
    help="The paper's data and judges, or small ones as `ugicm-evaluate report` reads them.",
)
@click.option("--subset", type=click.IntRange(1), metavar="N", help="At most N pictures of a set.")
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("default",),
    show_default=True,
    help="UG-ICM: a name or a file; repeatable, for models of one rate each.",
)
@click.option(
    "--backbone",
    "backbones",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The same without UG-ICM, files; by default models/backbone.safetensors of the folder.",
)
@click.option(
    "--single-scale",
    multiple=True,
    type=click.Path(path_type=Path),
    help="For clip-scales, files; by default models/single-scale.safetensors of the folder.",
)
@click.option(
    "--teacher",
    default="open_clip:ViT-B-32:openai",
    show_default=True,
    help="For toy-study, as `ugicm-train run` takes it.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Of the results; by default NAME.json.",
)
@PROCESSES
@CACHE
def preset(
    name: str,
    explain: bool,
    data: Path,
    setting: str,
    subset: int | None,
    models: tuple[str, ...],
    backbones: tuple[Path, ...],
    single_scale: tuple[Path, ...],
    teacher: str,
    output: Path | None,
    processes: int,
    cache: Path,
) -> None:
    """Measure what the paper's table or figure NAME shows, into one JSON as `run` does.

    Example: ugicm-evaluate preset detection --data data/ --subset 100
    """
    material = Material(data, Setting(setting), models, backbones, single_scale, teacher, subset)
    if explain:
        _explain(name, material)
        return
    path = output or Path(f"{name}.json")
    if not path.parent.is_dir():
        raise click.UsageError(f"the folder of {path} does not exist")
    config = make_config(name, material)
    words = ["ugicm-evaluate", "preset", name, "--setting", setting]
    words += [] if subset is None else ["--subset", str(subset)]
    found = make_run(config, command=shlex.join(words), cache=cache, processes=processes)
    finish(found, path)


def _explain(name: str, material: Material) -> None:
    found = PRESETS[name]
    click.echo(f"{name}: {found.about}")
    for benchmark in found.benchmarks(material):
        click.echo(f"  {benchmark.about}")
    click.echo("needs")
    for need in found.needs(material):
        state = "there" if need.path.exists() else "MISSING"
        click.echo(f"  {need.path}: {need.what}, {state}\n    from {need.source}")
