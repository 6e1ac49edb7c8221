"""``ugicm-evaluate results``: the page about a model beside the formats that people use."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePath

import click

from ugicm_evaluation.commands.options import CACHE, PROCESSES
from ugicm_evaluation.commands.run import finish
from ugicm_evaluation.drawing import png, svg
from ugicm_evaluation.judges.clip_space import weights_file
from ugicm_evaluation.presets.page import page
from ugicm_evaluation.presets.results import TOY, small_results
from ugicm_evaluation.runs.make import make_run
from ugicm_evaluation.runs.plots import plots
from ugicm_evaluation.runs.tables import csv_tables, markdown_tables
from ugicm_training.files import write_file

__all__ = ["results"]


@click.command()
@click.argument("model")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder with photos/, imagenet/, coco/ and weights/, as `report` reads it.",
)
@click.option(
    "--teacher",
    required=True,
    help="Judge of similarity in CLIP space: stand-in:FILE, or as `ugicm-train run` takes it.",
)
@click.option(
    "--every",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    metavar="N",
    help="Judges look at each Nth picture only.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option(
    "--run",
    "run_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("results.json"),
    show_default=True,
    help="The run's JSON, with every picture's figures.",
)
@PROCESSES
@CACHE
def results(
    model: str,
    data: Path,
    teacher: str,
    every: int,
    output: Path,
    run_file: Path,
    processes: int,
    cache: Path,
) -> None:
    """Measure MODEL beside JPEG, WebP, AVIF and JPEG XL; write results.md and plots into OUTPUT.

    Example: ugicm-evaluate results default --data data/ --teacher stand-in:t.safetensors -o docs/
    """
    if not run_file.parent.is_dir():
        raise click.UsageError(f"the folder of {run_file} does not exist")
    config = small_results(model, data, teacher, every=every)
    command = _command(model, data, teacher, output, every=every)
    found = make_run(config, command=command, cache=cache, processes=processes)
    folder = output / "results"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, figure in plots([found]).items():
        if name.startswith(TOY):  # one rate: a table says more
            continue
        for suffix, write in ((".png", png), (".svg", svg)):
            write_file(folder / f"{name}{suffix}", write(figure))
        drawn.append(f"{name}.png")
    write_file(folder / "tables.md", markdown_tables([found]).encode())
    write_file(folder / "tables.csv", csv_tables([found]).encode())
    text = page(found, drawn, "results/tables.md")
    write_file(output / "results.md", text.encode())
    finish(found, run_file)


def _command(model: str, data: Path, teacher: str, output: Path, *, every: int) -> str:
    """Return the command without the folders of one machine."""
    path = weights_file(teacher)
    words = ["ugicm-evaluate", "results", PurePath(model).name, "--data", f"{data.name}/"]
    words += ["--teacher", teacher if path is None else teacher.replace(str(path), path.name)]
    words += ["--every", str(every), "-o", f"{output.name}/"]
    return shlex.join(words)
