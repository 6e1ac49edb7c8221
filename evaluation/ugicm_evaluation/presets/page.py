"""The page about what a model is worth beside other codecs, made of a run alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ugicm_evaluation.markdown import table
from ugicm_evaluation.presets.results import LABELLED, MODEL, OBJECTS, PHOTOS, SWEPT, TOY
from ugicm_evaluation.runs.curves import codec_points, metrics_of
from ugicm_evaluation.runs.deltas import rate_table
from ugicm_evaluation.runs.equal_bytes import equal_bytes_table
from ugicm_evaluation.runs.plots import at_all_qualities
from ugicm_evaluation.runs.results import DatasetFacts, MetricFacts, Point, Run
from ugicm_evaluation.runs.tables import point_table

__all__ = ["page"]

# What judges are asked first; the rest is in the tables.
_LEADING = frozenset(
    {
        "top-1", "agreement", "agreement AP@50", "mAP@50", "mIoU", "agreement mIoU",
        "cosine with the original",
    }
)  # fmt: skip

_TITLES = {
    PHOTOS: "Perception",
    LABELLED: "Classification",
    OBJECTS: "Detection and segmentation",
    TOY: "Toy study: pictures updated under the teacher",
}
_PLOTS = {
    "rate-distortion": "by rate, pixels",
    "rate-accuracy": "by rate, judges",
    "views": "along the view",
}
_INTRODUCTION = (
    "What a bundled model is worth beside the formats that people use, on a small folder of data "
    "and with small judges. One of them, clip_space, is a semantic teacher: of a machine view that "
    "it taught, it tells what was learned, not what that is worth to others. One command writes "
    "everything here, from whole files:"
)
_READING = (
    "At equal bytes, curves are read between neighbouring qualities, at the model's mean rates; "
    "where a cell is empty, no file of that codec is as small or as large. Differences of mAP or "
    "mIoU that are small against the intervals may be chance; [models.md](models.md) compares "
    "views, and the same network without UG-ICM, by paired intervals."
)
_TOY = (
    "Eq. 3 of the paper: the decoded human view is moved by at most delta levels of 255 to where "
    "the teacher sees more of the original in it. This knows the original, so it is no codec; and "
    "clip_space is the teacher itself: what counts is what the other judges say."
)


def page(run: Run, plots: Sequence[str], tables: str) -> str:
    """Return Markdown.

    Args:
        run: of ``presets.results.small_results``.
        plots: files of plots beside the tables, by the names that ``runs.plots`` gives them.
        tables: the file with every figure and its interval.
    """
    folder = tables.rpartition("/")[0]
    parts = [
        "# Results",
        _INTRODUCTION,
        f"```\n{run.command}\n```",
        (
            f"Every figure with its 95 % interval (bootstrap over pictures, {run.draws:,} draws) "
            f"is in [{tables}]({tables}). {_READING}"
        ),
    ]
    for dataset in run.datasets:
        title = _TITLES[dataset.name]
        metrics = _shown(metrics_of([run], dataset.name))
        parts += [f"## {title}", _pictures(run, dataset)]
        if dataset.name == TOY:
            points = [(one.codec, one) for one in run.points if one.dataset == TOY]
            parts += [_TOY, point_table(points, metrics, dataset.originals)]
            continue
        curves = at_all_qualities(codec_points([run], dataset.name))
        parts += [
            equal_bytes_table(curves, metrics, rate) for rate in _rates(run.points, dataset.name)
        ]
        if dataset.name == PHOTOS:
            parts.append(rate_table(curves, metrics, "JPEG"))
        parts += [
            f"![{title}, {about}]({folder}/{name})"
            for kind, about in _PLOTS.items()
            for name in plots
            if name == f"{dataset.name}-{kind}.png"
        ]
    parts += ["## What was measured", _materials(run)]
    if run.skipped:
        lines = [f"- {one.dataset}/{one.picture}: {one.reason}" for one in run.skipped]
        parts += ["## Skipped pictures", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _pictures(run: Run, dataset: DatasetFacts) -> str:
    every = next(one["every"] for one in run.config["datasets"] if one["name"] == dataset.name)
    part = f", one of each {every} in the folder" if every > 1 else ""
    reduced = f"; {dataset.reduced} were larger and reduced first" if dataset.reduced else ""
    return f"{dataset.pictures} pictures{part}{reduced} (`{dataset.sha256[:16]}...`)."


def _shown(metrics: Mapping[str, MetricFacts]) -> dict[str, MetricFacts]:
    return {
        name: facts
        for name, facts in metrics.items()
        if facts.judge is None or facts.title in _LEADING
    }


def _rates(points: Sequence[Point], dataset: str) -> list[float]:
    """Return the model's rates at the qualities where its views are swept."""
    found = {
        one.quality: one.bits_per_pixel
        for one in points
        if (one.dataset, one.codec) == (dataset, MODEL)
    }
    return [found[quality] for quality in SWEPT]


def _materials(run: Run) -> str:
    codecs = [[one.name, f"`{one.identity}`"] for one in run.codecs]
    judges = [[one.name, f"`{one.version}`"] for one in run.judges]
    return table(
        ["codec or judge", "what decides its files or answers"], [*codecs, *judges], words=2
    )
