"""Makes a report: measures what the plan names, and scores it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ugicm_codec.models.modelfile import read_model_file
from ugicm_evaluation.errors import NothingMeasured
from ugicm_evaluation.judges.clip_space import ClipSpace
from ugicm_evaluation.measuring.measure import Measured, Measurer
from ugicm_evaluation.measuring.plan import Cast
from ugicm_evaluation.measuring.run import Skipped, Workers, measure_all, workers
from ugicm_evaluation.measuring.versions import library_versions
from ugicm_evaluation.metrics.fidelity import open_fidelity
from ugicm_evaluation.report.judging import judge_dataset
from ugicm_evaluation.report.plan import Plan, Wanted, make_plan
from ugicm_evaluation.report.rates import rate_distortion
from ugicm_evaluation.report.results import DatasetFacts, Judged, ModelFacts, Report

__all__ = ["make_report"]

# A training record's longer lists are its curves.
_SHOWN = 8


def make_report(
    wanted: Wanted,
    *,
    name: str | None,
    command: str,
    cache: Path,
    processes: int,
    draws: int,
    seed: int,
) -> Report:
    """Measure and score everything that is wanted.

    Args:
        name: of the model in the report; by default the model's own.
        command: how a reader makes the report again.
        cache: a folder for what was measured, from which a killed run goes on.
        processes: that measure side by side.
        draws: of the bootstrap.
        seed: of the draws.

    Raises:
        EvaluationError: there is nothing to measure, or nothing could be.
        CodecError: a model cannot be used.
    """
    plan = make_plan(wanted)
    versions = library_versions()
    cast = Cast(plan.codecs, plan.judges, {"psnr": partial(open_fidelity, "psnr")}, cache, versions)
    # Here first, where what cannot be loaded is one clear error.
    judges = Measurer(cast).judges
    with workers(processes, cast) as pool:
        measurements, skipped = _measure(pool, plan)
        judged: list[Judged] = []
        for dataset, tasks in plan.tasks.items():
            judged += judge_dataset(
                pool, dataset, measurements[dataset], tasks, draws=draws, seed=seed
            )
    rates = None
    if plan.rate_dataset is not None:
        rates = rate_distortion(
            plan.rate_dataset,
            measurements[plan.rate_dataset],
            published=wanted.data / "published_kodak",
            draws=draws,
            seed=seed,
        )
    teacher = judges.get("clip_space")
    return Report(
        command=command,
        versions={"python": platform.python_version(), **versions},
        model=_model_facts(wanted.model, name),
        baseline=None if wanted.baseline is None else _model_facts(wanted.baseline, "baseline"),
        datasets=[_dataset_facts(*item) for item in measurements.items()],
        judges={key: judge.weights_hash for key, judge in judges.items()},
        teacher=teacher.description if isinstance(teacher, ClipSpace) else None,
        draws=draws,
        seed=seed,
        sweep_qualities=wanted.sweep_qualities,
        rate_distortion=rates,
        judged=judged,
        skipped=skipped,
        left_out=plan.left_out,
    )


def _measure(pool: Workers, plan: Plan) -> tuple[dict[str, list[Measured]], list[Skipped]]:
    measurements: dict[str, list[Measured]] = {job.dataset: [] for job in plan.jobs}
    skipped = []
    for job, result in measure_all(pool, plan.jobs):
        if isinstance(result, Skipped):
            skipped.append(result)
        else:
            measurements[job.dataset].append(result)
    for dataset, pictures in measurements.items():
        if not pictures:
            first = next(one for one in skipped if one.dataset == dataset)
            raise NothingMeasured(f"no picture of {dataset} could be measured: {first.reason}")
    return measurements, skipped


def _model_facts(model: str, name: str | None) -> ModelFacts:
    file = read_model_file(model)
    info = file.info
    return ModelFacts(
        name=name or info.name,
        backbone=info.backbone,
        channels=info.channels,
        latent_channels=info.latent_channels,
        quality_steps=info.quality_steps,
        parameters=sum(tensor.numel() for tensor in file.tensors.values()),
        num_bytes=sum(tensor.nbytes for tensor in file.tensors.values()),
        latents_id=info.latents_id.hex(),
        sha256=info.sha256,
        training={key: _brief(value) for key, value in info.training.items()},
    )


def _brief(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _brief(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_brief(item) for item in value] if len(value) <= _SHOWN else f"{len(value)} entries"
    return value


def _dataset_facts(name: str, pictures: Sequence[Measured]) -> DatasetFacts:
    digest = hashlib.sha256()
    for measured in pictures:
        digest.update(f"{measured.key} {measured.sha256}\n".encode())
    reduced = sum(measured.reduced for measured in pictures)
    return DatasetFacts(name, len(pictures), reduced, digest.hexdigest())
