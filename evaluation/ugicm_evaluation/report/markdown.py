"""Writes a report as Markdown: tables, what they show, and how to get them again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from ugicm_evaluation.bootstrap import Estimate
from ugicm_evaluation.markdown import table
from ugicm_evaluation.report.claims import claims
from ugicm_evaluation.report.results import BdRate, Judged, ModelFacts, RateDistortion, Report
from ugicm_evaluation.tasks.protocol import Role

__all__ = ["page"]


def page(report: Report, pictures: Sequence[tuple[str, PurePath]]) -> str:
    """Return a section of Markdown.

    Args:
        pictures: caption and address of each picture.
    """
    parts = [
        f"## {report.model.name}",
        _facts(report),
        "### What it shows",
        _claims(report),
        *(f"![{caption}]({address.as_posix()})" for caption, address in pictures),
    ]
    if report.rate_distortion is not None:
        parts += ["### Rate and distortion", *_rate_distortion(report.rate_distortion)]
    if report.judged:
        parts += ["### What judges see", *_judged(report)]
    parts += ["### How it was trained", _training(report)]
    parts += ["### How to get these figures again", _provenance(report)]
    return "\n\n".join(parts) + "\n"


def _interval(found: Estimate | None, digits: int) -> str:
    if found is None:
        return ""
    value, low, high = (f"{number:+.{digits}f}" for number in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _facts(report: Report) -> str:
    models = [model for model in (report.model, report.baseline) if model is not None]
    names = ["model", "baseline"][: len(models)]

    def row(what: str, values: Iterable[str]) -> list[str]:
        return [what, *values]

    rows = [
        row("backbone", (_backbone(model) for model in models)),
        row("values in the file", (f"{model.parameters / 1e6:.2f} M" for model in models)),
        row("size", (f"{model.num_bytes / 1e6:.2f} MB" for model in models)),
        row("quality steps", (str(model.quality_steps) for model in models)),
        row("latents id", (f"`{model.latents_id}`" for model in models)),
        row("SHA-256", (f"`{model.sha256[:16]}...`" for model in models)),
    ]
    text = table(["", *names], rows, words=len(models) + 1)
    if report.baseline is not None:
        text += (
            "\n\nThe baseline is the same backbone trained in the same way without UG-ICM; it "
            "codes every picture to at most the bytes of the model's stream."
        )
    return text


def _backbone(model: ModelFacts) -> str:
    return f"{model.backbone}, N={model.channels}, M={model.latent_channels}"


def _claims(report: Report) -> str:
    rows = [[claim.text, claim.found, claim.verdict.value] for claim in claims(report)]
    return (
        table(["asked", "found, with the 95 % interval", ""], rows, words=3)
        + f"\n\nIntervals are from a paired bootstrap over pictures ({report.draws:,} draws, seed "
        f"{report.seed}): both figures of a difference are computed for the same draws. "
        "Differences whose interval holds 0 are not told from chance, and of many comparisons one "
        "in twenty is expected outside by chance alone."
    )


def _rate_distortion(found: RateDistortion) -> list[str]:
    parts = [
        (
            "Bytes are those of whole files. JPEG (optimised) and WebP (method 6) are Pillow's, "
            "with chroma at half resolution, and interpolated at each stream's bytes where they "
            "can code a picture so small. Gains are of the human view, in dB."
        ),
        table(
            [
                "quality",
                "bits per pixel",
                "human dB",
                "machine dB",
                "over JPEG",
                "over WebP",
                "over the baseline",
                "pictures better than JPEG",
            ],
            (
                [
                    str(row.quality),
                    _number(row.bits_per_pixel, 3),
                    _number(row.human, 2),
                    _number(row.machine, 2),
                    _interval(row.over_jpeg, 2),
                    _interval(row.over_webp, 2),
                    _interval(row.over_baseline, 2),
                    f"{row.jpeg_beaten} of {row.jpeg_compared}",
                ]
                for row in found.at_equal_bytes
            ),
        ),
        table(
            ["bits per pixel", "streams", "over JPEG", "smallest", "over WebP"],
            (
                [
                    f"{row.low} to {row.high}",
                    str(row.streams),
                    _interval(row.over_jpeg, 2),
                    f"{row.smallest_over_jpeg:+.2f}",
                    _interval(row.over_webp, 2),
                ]
                for row in found.ranges
            ),
        ),
        (
            "BD-rate: how many per cent more bytes a codec needs for the PSNR of another "
            "(piecewise cubic); less than 0 is better."
        ),
        table(
            ["", "of the mean curves", "mean over pictures", "pictures"],
            (
                [
                    f"{rate.test} against {rate.anchor}",
                    "" if rate.of_means is None else f"{rate.of_means:+.1f} %",
                    _interval(rate.of_pictures, 1),
                    str(rate.pictures) if rate.pictures else "",
                ]
                for rate in found.bd_rates
            ),
        ),
    ]
    if found.published:
        figures = ", ".join(_published(rate) for rate in found.published)
        parts.append(
            "Against the published curve the pictures differ: Kodak there, ours here, so that "
            "figure is a distance between curves and not a comparison of codecs. By way of a codec "
            "that both were compared with, each on its own pictures, is fairer: "
            f"CompressAI's bmshj2018 on Kodak has {figures}."
        )
    if found.baseline_over_budget:
        parts.append(
            f"{found.baseline_over_budget} of the baseline's streams are its smallest and still "
            "larger than the model's stream: there the comparison favours the baseline."
        )
    return parts


def _published(rate: BdRate) -> str:
    value = "no figure" if rate.of_means is None else f"{rate.of_means:+.1f} %"
    return f"{value} against {rate.anchor}"


def _judged(report: Report) -> list[str]:
    sweep = " and ".join(str(quality) for quality in report.sweep_qualities)
    datasets = {facts.name: facts for facts in report.datasets}
    parts = [
        (
            "Averages over qualities; `*` marks differences whose interval does not hold 0. "
            "Agreement is with the judge's own answer to the uncompressed picture: for detectors, "
            "its confident detections there are the truth, all categories pooled. No model was "
            "trained with these judges, but for clip_space, where its training record names that "
            "teacher; deeplabv3 stands on a MobileNetV2, as the stand-in teacher does."
        ),
    ]
    for dataset in dict.fromkeys(one.dataset for one in report.judged):
        facts = datasets[dataset]
        mine = [one for one in report.judged if one.dataset == dataset]
        rates = ", ".join(
            f"{row.quality} ({row.bits_per_pixel:.3f})"
            for row in mine[0].rows
            if row.quality is not None
        )
        reduced = f", {facts.reduced} of them reduced to 640 pixels first" if facts.reduced else ""
        parts += [
            (
                f"**{dataset}**: {facts.pictures} pictures{reduced}; qualities (bits per pixel): "
                f"{rates}."
            ),
            table(
                [
                    "judge",
                    "metric",
                    "original",
                    "baseline",
                    "human",
                    "machine",
                    "machine less human",
                    "machine less baseline",
                ],
                (_average(one) for one in mine),
                words=2,
            ),
            f"Along the view, at qualities {sweep} (difference from view 0 in brackets):",
            _sweep(mine),
            _by_quality([one for one in mine if one.role is Role.LEADING]),
        ]
    return parts


def _digits(judged: Judged) -> int:
    return 2 if judged.unit in ("%", "dB") else 4


def _what(judged: Judged) -> str:
    unit = f", {judged.unit}" if judged.unit else ""
    return judged.metric + unit + (" (less is better)" if judged.better.value == "lower" else "")


def _marked(found: Estimate | None, digits: int) -> str:
    told_apart = found is not None and not found.low <= 0.0 <= found.high
    return _interval(found, digits) + (" *" if told_apart else "")


def _average(judged: Judged) -> list[str]:
    digits, row = _digits(judged), judged.rows[-1]
    return [
        judged.judge,
        _what(judged),
        "" if judged.original != judged.original else _number(judged.original, digits),
        _number(row.baseline, digits),
        _number(row.human, digits),
        _number(row.machine, digits),
        _marked(row.over_human, digits),
        _marked(row.over_baseline, digits),
    ]


def _sweep(judged: Sequence[Judged]) -> str:
    head = ["judge", "metric", *(f"view {row.view:g}" for row in judged[0].views)]
    rows = []
    for one in judged:
        digits = _digits(one)
        cells = [
            _number(row.value, digits)
            + (f" ({row.over_human.value:+.{digits}f})" if row.view else "")
            for row in one.views
        ]
        rows.append([one.judge, _what(one), *cells])
    return table(head, rows, words=2)


def _by_quality(judged: Sequence[Judged]) -> str:
    head = [
        "judge",
        "metric",
        "quality",
        "baseline",
        "human",
        "machine",
        "machine less human",
        "machine less baseline",
    ]
    rows = []
    for one in judged:
        digits = _digits(one)
        rows += [
            [
                one.judge,
                _what(one),
                str(row.quality),
                _number(row.baseline, digits),
                _number(row.human, digits),
                _number(row.machine, digits),
                _marked(row.over_human, digits),
                _marked(row.over_baseline, digits),
            ]
            for row in one.rows
            if row.quality is not None
        ]
    return table(head, rows, words=2)


def _training(report: Report) -> str:
    parts = ["The records in the model files; `ugicm models --json` shows them whole."]
    for name, model in (("model", report.model), ("baseline", report.baseline)):
        if model is not None:
            record = json.dumps(model.training, indent=1, ensure_ascii=False, sort_keys=True)
            summary = f"<details><summary>{name}</summary>"
            parts.append(f"{summary}\n\n```json\n{record}\n```\n\n</details>")
    return "\n\n".join(parts)


def _provenance(report: Report) -> str:
    lines = [f"```\n{report.command}\n```", ""]
    lines.append("SHA-256 of what was read (of a data set: over its names and hashes):")
    lines.append("")
    models = [("model", report.model), ("baseline", report.baseline)]
    rows = [[name, f"`{model.sha256}`"] for name, model in models if model is not None]
    rows += [[f"{facts.name} ({facts.pictures})", f"`{facts.sha256}`"] for facts in report.datasets]
    rows += [[judge, f"`{sha256}`"] for judge, sha256 in report.judges.items()]
    lines.append(table(["", "SHA-256"], rows, words=2))
    lines.append("")
    if report.teacher is not None:
        lines += [f"Similarity in CLIP space is judged by: {report.teacher}.", ""]
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines.append(f"Versions: {versions}.")
    if report.skipped:
        named = "; ".join(f"{one.dataset}/{one.key} ({one.reason})" for one in report.skipped)
        lines += ["", f"Skipped pictures, {len(report.skipped)}: {named}."]
    if report.left_out:
        lines += ["", f"Not measured: {'; '.join(report.left_out)}."]
    return "\n".join(lines)
