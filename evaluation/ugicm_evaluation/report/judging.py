"""What judges made of the views, from the answers that were kept for each picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ugicm_evaluation.bootstrap import draw_pictures, estimate
from ugicm_evaluation.measuring.measure import Measured
from ugicm_evaluation.measuring.plan import Coding
from ugicm_evaluation.measuring.run import Workers
from ugicm_evaluation.measuring.scoring import Seen, score
from ugicm_evaluation.report.results import Judged, QualityRow, ViewRow
from ugicm_evaluation.tasks.protocol import Metric, Task

__all__ = ["judge_dataset"]

_PSNR = Metric("PSNR", "dB")
_HUMAN, _MACHINE = 0.0, 1.0


def judge_dataset(
    pool: Workers,
    dataset: str,
    measured: Sequence[Measured],
    tasks: Sequence[Task],
    *,
    draws: int,
    seed: int,
) -> list[Judged]:
    """Score every task, and the PSNR beside them, at every quality and along the view."""
    every = [(coding, view) for coding in measured[0].coded for view in coding.views]
    judged = [_judge_pixels(dataset, measured, every, draws=draws, seed=seed)]
    scored = score(pool, dataset, measured, tasks, draws=draws, seed=seed)
    for task, mine in zip(tasks, scored, strict=True):
        judged += [
            _judge(
                dataset,
                task.judge,
                metric,
                {seen: scores.draws[index] for seen, scores in mine.items()},
                measured,
            )
            for index, metric in enumerate(task.metrics)
        ]
    return judged


def _judge_pixels(
    dataset: str,
    measured: Sequence[Measured],
    every: Sequence[tuple[Coding, float]],
    *,
    draws: int,
    seed: int,
) -> Judged:
    drawn = draw_pictures(len(measured), draws=draws, seed=seed)
    scores: dict[Seen, NDArray[np.float64]] = {None: np.full(len(drawn), np.nan)}
    for coding, view in every:
        values = np.array([one.coded[coding].psnr[view] for one in measured])
        scores[coding, view] = drawn @ values / len(measured)
    return _judge(dataset, "pixels", _PSNR, scores, measured)


def _judge(
    dataset: str,
    judge: str,
    metric: Metric,
    scores: Mapping[Seen, NDArray[np.float64]],
    measured: Sequence[Measured],
) -> Judged:
    of_model = {seen[0].quality: seen[0] for seen in scores if seen and seen[0].codec == "model"}
    of_baseline = {
        seen[0].quality: seen[0] for seen in scores if seen and seen[0].codec == "baseline"
    }
    rates = {
        quality: float(np.mean([8 * one.coded[coding].num_bytes / one.pixels for one in measured]))
        for quality, coding in of_model.items()
    }
    human = {quality: scores[coding, _HUMAN] for quality, coding in of_model.items()}
    machine = {quality: scores[coding, _MACHINE] for quality, coding in of_model.items()}
    baseline = {quality: scores[coding, _HUMAN] for quality, coding in of_baseline.items()}
    rows = [
        _row(quality, rates[quality], human[quality], machine[quality], baseline.get(quality))
        for quality in of_model
    ]
    average = _row(
        None,
        float(np.mean(list(rates.values()))),
        np.mean(list(human.values()), axis=0),
        np.mean(list(machine.values()), axis=0),
        np.mean(list(baseline.values()), axis=0) if baseline else None,
    )
    return Judged(
        dataset=dataset,
        judge=judge,
        metric=metric.name,
        unit=metric.unit,
        better=metric.better,
        role=metric.role,
        original=float(scores[None][0]),
        rows=[*rows, average],
        views=_along_the_view(scores, of_model.values()),
    )


def _row(
    quality: int | None,
    bits_per_pixel: float,
    human: NDArray[np.float64],
    machine: NDArray[np.float64],
    baseline: NDArray[np.float64] | None,
) -> QualityRow:
    return QualityRow(
        quality=quality,
        bits_per_pixel=bits_per_pixel,
        human=float(human[0]),
        machine=float(machine[0]),
        baseline=None if baseline is None else float(baseline[0]),
        over_human=estimate(machine - human),
        over_baseline=None if baseline is None else estimate(machine - baseline),
    )


def _along_the_view(
    scores: Mapping[Seen, NDArray[np.float64]], codings: Iterable[Coding]
) -> list[ViewRow]:
    swept = list(codings)
    views = max((coding.views for coding in swept), key=len)
    swept = [coding for coding in swept if coding.views == views]
    human = np.mean([scores[coding, _HUMAN] for coding in swept], axis=0)
    rows = []
    for view in views:
        values = np.mean([scores[coding, view] for coding in swept], axis=0)
        rows.append(ViewRow(view, float(values[0]), estimate(values - human)))
    return rows
