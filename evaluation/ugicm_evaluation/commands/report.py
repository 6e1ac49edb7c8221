"""``ugicm-evaluate report``: everything that is said of a model, from whole files."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePath

import click

from ugicm_evaluation.codecs.model import ModelCodec
from ugicm_evaluation.commands.options import CACHE, PROCESSES
from ugicm_evaluation.judges.clip_space import weights_file
from ugicm_evaluation.report.build import make_report
from ugicm_evaluation.report.document import insert, to_json
from ugicm_evaluation.report.markdown import page
from ugicm_evaluation.report.plan import Wanted
from ugicm_evaluation.report.plots import judges_plot, rate_distortion_plot, views_plot
from ugicm_evaluation.report.results import Report
from ugicm_evaluation.report.sheet import contact_sheet
from ugicm_evaluation.tasks.protocol import Role
from ugicm_training.files import write_file

__all__ = ["report"]

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


class _Qualities(click.ParamType[tuple[int, ...]]):
    name = "Q,Q,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            qualities = sorted({int(part) for part in str(value).split(",")})
        except ValueError:
            self.fail(f"qualities are integers with commas between, got {value!r}", param, ctx)
        if qualities[0] < 0 or qualities[-1] > 100:
            self.fail(f"a quality is an integer from 0 to 100, got {value!r}", param, ctx)
        return tuple(qualities)


@click.command()
@click.argument("model")
@click.option("--baseline", help="The same backbone without UG-ICM: a name or a model file.")
@click.option(
    "--data",
    type=_FOLDER,
    required=True,
    help="Folder with any of photos/, imagenet/, coco/, and with weights/ of the judges.",
)
@click.option(
    "--teacher",
    help="Judge of similarity in CLIP space: stand-in:FILE, or as `ugicm-train run` takes it.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--name", help="Of the report; by default the model's own name.")
@click.option("--qualities", type=_Qualities(), default="0,15,30,50,75", show_default=True)
@click.option(
    "--sweep-qualities",
    type=_Qualities(),
    default="15,50",
    show_default=True,
    help="Of these, where judges look at five positions of the view.",
)
@click.option(
    "--rate-qualities",
    type=_Qualities(),
    default="0,10,20,30,40,50,60,70,80,90,100",
    show_default=True,
    help="Points of the rate-distortion curves.",
)
@click.option(
    "--every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Take each Nth picture only.",
)
@PROCESSES
@click.option(
    "--draws", type=click.IntRange(100), default=2000, show_default=True, help="Of the bootstrap."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draws.")
@CACHE
def report(
    model: str,
    baseline: str | None,
    data: Path,
    teacher: str | None,
    output: Path,
    name: str | None,
    qualities: tuple[int, ...],
    sweep_qualities: tuple[int, ...],
    rate_qualities: tuple[int, ...],
    every: int,
    processes: int,
    draws: int,
    seed: int,
    cache: Path,
) -> None:
    """Measure MODEL and write models.md, results/NAME.json and pictures into OUTPUT.

    Example: ugicm-evaluate report default --baseline backbone.safetensors --data data/ -o docs/
    """
    if not set(sweep_qualities) <= set(qualities):
        raise click.UsageError("--sweep-qualities are some of --qualities")
    wanted = Wanted(
        model, baseline, data, teacher, qualities, sweep_qualities, rate_qualities, every
    )
    found = make_report(
        wanted,
        name=name,
        command=_command(wanted, output, name=name, draws=draws, seed=seed),
        cache=cache,
        processes=processes,
        draws=draws,
        seed=seed,
    )
    _write(found, ModelCodec(model), output, quality=sweep_qualities[0])
    for one in found.skipped:
        click.echo(f"skipped {one.dataset}/{one.key}: {one.reason}", err=True)
    click.echo(f"{output / 'models.md'}: {found.model.name}")


def _command(wanted: Wanted, output: Path, *, name: str | None, draws: int, seed: int) -> str:
    """Return the command without the folders of one machine."""
    words = ["ugicm-evaluate", "report", PurePath(wanted.model).name]
    if wanted.baseline is not None:
        words += ["--baseline", PurePath(wanted.baseline).name]
    words += ["--data", f"{wanted.data.name}/"]
    if wanted.teacher is not None:
        path = weights_file(wanted.teacher)
        teacher = wanted.teacher
        words += ["--teacher", teacher if path is None else teacher.replace(str(path), path.name)]
    for option, values in (
        ("--qualities", wanted.qualities),
        ("--sweep-qualities", wanted.sweep_qualities),
        ("--rate-qualities", wanted.rate_qualities),
    ):
        words += [option, ",".join(str(value) for value in values)]
    if name is not None:
        words += ["--name", name]
    if wanted.every > 1:
        words += ["--every", str(wanted.every)]
    words += ["--draws", str(draws), "--seed", str(seed), "-o", f"{output.name}/"]
    return shlex.join(words)


def _write(found: Report, codec: ModelCodec, output: Path, *, quality: int) -> None:
    name = found.model.name
    folder = output / "results"
    folder.mkdir(parents=True, exist_ok=True)
    pictures: list[tuple[str, PurePath]] = []

    def picture(caption: str, file: str, data: bytes) -> None:
        write_file(folder / file, data)
        pictures.append((caption, PurePath("results") / file))

    if found.rate_distortion is not None:
        picture(
            "PSNR against bits per pixel",
            f"{name}-rate-distortion.png",
            rate_distortion_plot(found.rate_distortion),
        )
    leading = [one for one in found.judged if one.role is Role.LEADING]
    if leading:
        picture("What judges see, by rate", f"{name}-judges.png", judges_plot(leading))
        swept = [one for one in found.judged if one.role is Role.LEADING or one.judge == "pixels"]
        picture("Along the view", f"{name}-views.png", views_plot(swept))
    picture(
        f"Human view, machine view and original, quality {quality}",
        f"{name}-contact-sheet.jpg",
        contact_sheet(codec, quality=quality),
    )
    write_file(folder / f"{name}.json", to_json(found).encode())
    document = output / "models.md"
    before = document.read_text() if document.exists() else "# Models\n"
    write_file(document, insert(before, name, page(found, pictures)).encode())
