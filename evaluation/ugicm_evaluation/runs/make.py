"""Makes a run: measures what a configuration names, and scores it."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ugicm_evaluation.bootstrap import draw_pictures, estimate
from ugicm_evaluation.codecs.decoded import DecodedPictures
from ugicm_evaluation.codecs.opening import AnyCodec, open_codec
from ugicm_evaluation.config import (
    Analyzer,
    Clip,
    CodecConfig,
    DatasetConfig,
    Decoded,
    Lpips,
    Model,
    Models,
    PillowFormat,
    RunConfig,
    Updated,
    Zoo,
)
from ugicm_evaluation.datasets.opening import open_dataset
from ugicm_evaluation.datasets.protocol import PartlyUsable
from ugicm_evaluation.errors import BadConfig, NothingMeasured
from ugicm_evaluation.judges.opening import open_judge
from ugicm_evaluation.measuring.measure import Measured, Measurer
from ugicm_evaluation.measuring.plan import Cast, Coding, Job
from ugicm_evaluation.measuring.run import Skipped, measure_all, workers
from ugicm_evaluation.measuring.scoring import Scored, Seen, score
from ugicm_evaluation.measuring.versions import library_versions
from ugicm_evaluation.metrics.fidelity import Fidelity, open_fidelity
from ugicm_evaluation.metrics.perceptual import open_lpips
from ugicm_evaluation.runs.results import (
    CodecFacts,
    DatasetFacts,
    Figure,
    JudgeFacts,
    MetricFacts,
    PictureRow,
    Point,
    Run,
    SkippedPicture,
)
from ugicm_evaluation.tasks.choosing import choose_task
from ugicm_evaluation.tasks.protocol import Task

__all__ = ["make_run"]


def make_run(config: RunConfig, *, command: str, cache: Path, processes: int) -> Run:
    """Measure and score everything that a configuration names.

    Args:
        config: what to run.
        command: how a reader makes the run again.
        cache: a folder for what was measured, from which a killed run goes on.
        processes: that measure side by side.

    Raises:
        EvaluationError: something that is named is not to be had, or nothing could be measured.
        AnalyzerError: a judge is not to be had.
        CodecError: a model cannot be used.
        TrainingError: a teacher is not to be had.
    """
    cast = Cast(
        codecs={one.name: partial(open_codec, one) for one in config.codecs},
        judges={one.name: partial(open_judge, one) for one in config.judges},
        fidelity={name: partial(_open_fidelity, name, config.lpips) for name in _metrics(config)},
        cache=cache,
        versions=library_versions(),
    )
    # Here first, where what is not to be had is one clear error.
    opened = Measurer(cast)
    tasks: dict[str, list[Task]] = {
        one.name: [choose_task(key, opened.judges[key], one) for key in one.judges]
        for one in config.datasets
    }
    unusable = {one.name: _unusable(one) for one in config.datasets}
    jobs = [
        job
        for one in config.datasets
        for job in _jobs(one, _codings(config, one.name, opened.codecs), unusable[one.name])
    ]
    skipped = [
        SkippedPicture(dataset=name, picture=key, reason=reason)
        for name, reasons in unusable.items()
        for key, reason in reasons.items()
    ]
    datasets: list[DatasetFacts] = []
    points: list[Point] = []
    rows: list[PictureRow] = []
    with workers(processes, cast) as pool:
        measurements: dict[str, list[Measured]] = {one.name: [] for one in config.datasets}
        for job, result in measure_all(pool, jobs):
            if isinstance(result, Skipped):
                skipped.append(
                    SkippedPicture(dataset=result.dataset, picture=result.key, reason=result.reason)
                )
            else:
                measurements[job.dataset].append(result)
        for name, measured in measurements.items():
            if not measured:
                raise NothingMeasured(_nothing(name, skipped))
            scored = score(pool, name, measured, tasks[name], draws=config.draws, seed=config.seed)
            found = _Found(name, measured, tasks[name], scored, config.draws, config.seed)
            datasets.append(found.facts())
            points += found.points()
            rows += found.rows()
    return Run(
        name=config.name,
        command=command,
        config=_without_folders(config),
        versions={"python": platform.python_version(), **cast.versions},
        draws=config.draws,
        seed=config.seed,
        metrics={
            **{name: _fidelity_facts(opened.fidelity[name]) for name in cast.fidelity},
            **_task_facts(tasks),
        },
        datasets=datasets,
        codecs=[
            CodecFacts(name=key, identity=codec.identity) for key, codec in opened.codecs.items()
        ],
        judges=[
            JudgeFacts(name=key, version=judge.weights_hash) for key, judge in opened.judges.items()
        ],
        points=points,
        pictures=rows,
        skipped=skipped,
    )


class _Found:
    """What was found on one data set."""

    def __init__(
        self,
        dataset: str,
        measured: Sequence[Measured],
        tasks: Sequence[Task],
        scored: Sequence[Mapping[Seen, Scored]],
        draws: int,
        seed: int,
    ) -> None:
        self._dataset = dataset
        self._measured = measured
        self._tasks = tasks
        self._scored = scored
        self._draws = draw_pictures(len(measured), draws=draws, seed=seed)
        self._seen = [(coding, view) for coding in measured[0].coded for view in coding.views]

    def facts(self) -> DatasetFacts:
        digest = hashlib.sha256()
        for one in self._measured:
            digest.update(f"{one.key} {one.sha256}\n".encode())
        return DatasetFacts(
            name=self._dataset,
            pictures=len(self._measured),
            reduced=sum(one.reduced for one in self._measured),
            sha256=digest.hexdigest(),
            originals=self._judged(None),
        )

    def points(self) -> list[Point]:
        return [
            Point(
                dataset=self._dataset,
                codec=coding.codec,
                quality=coding.quality,
                view=view,
                bits_per_pixel=float(
                    np.mean(
                        [8 * one.coded[coding].num_bytes / one.pixels for one in self._measured]
                    )
                ),
                figures={**self._fidelity(coding, view), **self._judged((coding, view))},
            )
            for coding, view in self._seen
        ]

    def rows(self) -> list[PictureRow]:
        rows = []
        for coding, view in self._seen:
            single = self._single((coding, view))
            for index, one in enumerate(self._measured):
                coded = one.coded[coding]
                figures = {name: values[view] for name, values in coded.fidelity.items()}
                figures.update({name: float(values[index]) for name, values in single.items()})
                rows.append(
                    PictureRow(
                        dataset=self._dataset,
                        picture=one.key,
                        sha256=one.sha256,
                        pixels=one.pixels,
                        codec=coding.codec,
                        quality=coding.quality,
                        view=view,
                        bytes=coded.num_bytes,
                        figures=figures,
                    )
                )
        return rows

    def _fidelity(self, coding: Coding, view: float) -> dict[str, Figure]:
        names = self._measured[0].coded[coding].fidelity
        return {
            name: self._mean(
                np.array([one.coded[coding].fidelity[name][view] for one in self._measured])
            )
            for name in names
        }

    def _mean(self, values: NDArray[np.float64]) -> Figure:
        """Estimate the mean of those that are numbers."""
        known = np.isfinite(values)
        counts = self._draws @ known
        totals = self._draws @ np.where(known, values, 0.0)
        means = np.where(counts > 0, totals / np.maximum(counts, 1), math.nan)
        return _figure(means, int(known.sum()))

    def _judged(self, seen: Seen) -> dict[str, Figure]:
        return {
            _metric_name(task, metric.name): _figure(scores, len(self._measured))
            for task, mine in zip(self._tasks, self._scored, strict=True)
            for metric, scores in zip(task.metrics, mine[seen].draws, strict=True)
        }

    def _single(self, seen: Seen) -> dict[str, NDArray[np.float64]]:
        return {
            _metric_name(task, metric.name): values
            for task, mine in zip(self._tasks, self._scored, strict=True)
            for metric, values in zip(task.metrics, mine[seen].pictures, strict=False)
        }


def _figure(values: NDArray[np.float64], pictures: int) -> Figure:
    # A draw without a single object has no figure.
    known = values[1:][np.isfinite(values[1:])]
    if not math.isfinite(values[0]) or not len(known):
        return Figure(value=None, low=None, high=None, pictures=0)
    found = estimate(np.concatenate([values[:1], known]))
    return Figure(value=found.value, low=found.low, high=found.high, pictures=pictures)


def _metrics(config: RunConfig) -> list[str]:
    return list(dict.fromkeys(name for one in config.datasets for name in one.metrics))


def _open_fidelity(name: str, lpips: Lpips | None) -> Fidelity:
    if name != "lpips":
        return open_fidelity(name)
    if lpips is None:
        raise BadConfig("lpips needs its backbone's weights")
    return open_lpips(lpips.backbone, lpips.weights)


def _unusable(config: DatasetConfig) -> Mapping[str, str]:
    dataset = open_dataset(config)
    return dataset.unusable() if isinstance(dataset, PartlyUsable) else {}


def _codings(config: RunConfig, dataset: str, codecs: Mapping[str, AnyCodec]) -> tuple[Coding, ...]:
    codings: list[Coding] = []
    for one in config.codecs:
        if one.datasets is not None and dataset not in one.datasets:
            continue
        codec = codecs[one.name]
        if isinstance(one, Decoded):
            assert isinstance(codec, DecodedPictures)
            codings += [
                Coding(one.name, quality, views) for quality, views in codec.settings.items()
            ]
        else:
            codings += [_coding(one, quality) for quality in one.qualities]
    if not codings:
        raise BadConfig(f"no codec codes {dataset}")
    return tuple(codings)


def _coding(config: Model | Updated | PillowFormat | Zoo, quality: int) -> Coding:
    if isinstance(config, Model):
        return Coding(config.name, quality, config.views_at(quality), config.within)
    return Coding(config.name, quality, (0.0,))


def _jobs(
    config: DatasetConfig, codings: tuple[Coding, ...], unusable: Mapping[str, str]
) -> list[Job]:
    samples = open_dataset(config).samples[:: config.every]
    if config.most is not None and config.most < len(samples):
        samples = [samples[n * len(samples) // config.most] for n in range(config.most)]
    return [
        Job(config.name, sample, codings, config.judges, config.metrics, config.longest_side)
        for sample in samples
        if sample.key not in unusable
    ]


def _nothing(dataset: str, skipped: Sequence[SkippedPicture]) -> str:
    reasons = [one.reason for one in skipped if one.dataset == dataset]
    return f"no picture of {dataset} could be measured: {reasons[0]}"


def _fidelity_facts(metric: Fidelity) -> MetricFacts:
    return MetricFacts(title=metric.title, unit=metric.unit, better=metric.better)


def _task_facts(tasks: Mapping[str, Sequence[Task]]) -> dict[str, MetricFacts]:
    return {
        _metric_name(task, metric.name): MetricFacts(
            title=metric.name, unit=metric.unit, better=metric.better, judge=task.judge
        )
        for mine in tasks.values()
        for task in mine
        for metric in task.metrics
    }


def _metric_name(task: Task, metric: str) -> str:
    return f"{task.judge}: {metric}"


def _without_folders(config: RunConfig) -> Any:
    """Return a configuration for JSON, in which files have their names alone."""
    plain = msgspec.structs.replace(
        config,
        codecs=tuple(_codec_without_folders(one) for one in config.codecs),
        judges=tuple(_judge_without_folders(one) for one in config.judges),
    )
    return msgspec.to_builtins(plain, enc_hook=lambda path: path.name)


def _codec_without_folders(codec: CodecConfig) -> CodecConfig:
    match codec:
        case Model():
            return msgspec.structs.replace(codec, model=_file_names(codec.model))
        case Updated():
            return msgspec.structs.replace(
                codec, model=_file_names(codec.model), teacher=_file_name(codec.teacher)
            )
        case _:
            return codec


def _judge_without_folders(judge: Analyzer | Clip) -> Analyzer | Clip:
    if isinstance(judge, Analyzer):
        return msgspec.structs.replace(judge, analyzer=_file_name(judge.analyzer))
    return msgspec.structs.replace(judge, teacher=_file_name(judge.teacher))


def _file_names(model: Models) -> Models:
    return _file_name(model) if isinstance(model, str) else tuple(map(_file_name, model))


def _file_name(text: str) -> str:
    before, colon, last = text.rpartition(":")
    return f"{before}{colon}{Path(last).name}"
