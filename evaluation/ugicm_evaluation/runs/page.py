"""The page about what a model is worth beside other codecs, made of a run alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ugicm_evaluation.markdown import table
from ugicm_evaluation.runs.curves import codec_points, metrics_of
from ugicm_evaluation.runs.equal_bytes import equal_bytes_table
from ugicm_evaluation.runs.plots import at_all_qualities
from ugicm_evaluation.runs.results import MetricFacts, Point, Run

__all__ = ["page"]

# One of each judge, and accuracy where it is known; the others are in the tables.
_SHOWN = frozenset(
    {
        "PSNR", "SSIM", "MS-SSIM", "LPIPS", "top-1", "agreement", "agreement AP@50", "mAP@50",
        "agreement mIoU", "mIoU", "cosine with the original",
    }
)  # fmt: skip

_TITLES = {
    "photos": "Perception",
    "imagenet": "Classification",
    "coco": "Detection and segmentation",
    "toy-study": "Toy study: pictures updated under the teacher",
}
_INTRODUCTION = (
    "What a bundled model is worth beside the formats that people use, on a small folder of data "
    "and with small judges that training never saw. One command writes everything here, from whole "
    "files:"
)
_READING = (
    "At equal bytes, curves are read between neighbouring qualities; where a cell is empty, no "
    "file of that codec is as small or as large. Differences smaller than the intervals are not "
    "told from chance; [models.md](models.md) compares views and baseline by paired intervals."
)
_TOY = (
    "Eq. 3 of the paper: the decoded human view is moved by at most delta levels of 255 to where "
    "the teacher sees more of the original in it. This knows the original, so it is no codec; and "
    "clip_space is the teacher itself: what counts is what the judges say that had no part in it."
)


def page(run: Run, plots: Sequence[str], tables: str, *, model: str, rated: Sequence[int]) -> str:
    """Return Markdown.

    Args:
        run: everything that it says.
        plots: files of plots, by the names that ``runs.plots`` gives them.
        tables: the file with every figure and its interval.
        model: the codec at whose rates others are compared.
        rated: qualities of that codec, at whose rates.
    """
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
        metrics = _shown(metrics_of([run], dataset.name))
        reduced = f", {dataset.reduced} of them reduced first" if dataset.reduced else ""
        parts += [
            f"## {_TITLES.get(dataset.name, dataset.name)}",
            f"{dataset.pictures} pictures{reduced} (`{dataset.sha256[:16]}...`).",
        ]
        points = [one for one in run.points if one.dataset == dataset.name]
        rates = _rates(points, model, rated)
        if rates:
            curves = at_all_qualities(codec_points([run], dataset.name))
            parts += [equal_bytes_table(curves, metrics, rate) for rate in rates]
        else:
            parts += [_TOY, _plain_table(points, metrics)]
        parts += [
            f"![{name}](results/{name})" for name in plots if name.startswith(f"{dataset.name}-")
        ]
    parts += ["## What was measured", _materials(run)]
    if run.skipped:
        lines = [f"- {one.dataset}/{one.picture}: {one.reason}" for one in run.skipped]
        parts += ["## Skipped pictures", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _shown(metrics: Mapping[str, MetricFacts]) -> dict[str, MetricFacts]:
    return {name: facts for name, facts in metrics.items() if facts.title in _SHOWN}


def _rates(points: Sequence[Point], model: str, rated: Sequence[int]) -> list[float]:
    """Return the model's rates at these qualities, if it was measured at them."""
    found = {one.quality: one.bits_per_pixel for one in points if one.codec == model}
    return [found[quality] for quality in rated if quality in found]


def _plain_table(points: Sequence[Point], metrics: Mapping[str, MetricFacts]) -> str:
    head = ["codec", "bits per pixel"]
    head += [
        f"{facts.judge}: {facts.title}" if facts.judge else facts.title
        for facts in metrics.values()
    ]
    rows = []
    for point in points:
        row = [point.codec, f"{point.bits_per_pixel:.4f}"]
        for name, facts in metrics.items():
            known = point.figures[name].known
            digits = 2 if facts.unit in ("%", "dB") else 4
            row.append(
                ""
                if known is None
                else f"{known.value:.{digits}f} [{known.low:.{digits}f}, {known.high:.{digits}f}]"
            )
        rows.append(row)
    return table(head, rows)


def _materials(run: Run) -> str:
    codecs = [[one.name, f"`{one.identity}`"] for one in run.codecs]
    judges = [[one.name, f"`{one.version}`"] for one in run.judges]
    return table(
        ["codec or judge", "what decides its files or answers"], [*codecs, *judges], words=2
    )
