"""Which pictures, codings, judges and tasks a report is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ugicm_evaluation.codecs.classical import JPEG, WEBP, PillowCodec
from ugicm_evaluation.codecs.model import ModelCodec
from ugicm_evaluation.codecs.protocol import PictureCodec
from ugicm_evaluation.config import Clip, Coco, DatasetConfig, JudgeConfig, Labelled
from ugicm_evaluation.datasets.folder import PictureFolder
from ugicm_evaluation.datasets.opening import open_dataset
from ugicm_evaluation.datasets.protocol import Dataset
from ugicm_evaluation.errors import BadDataset
from ugicm_evaluation.judges.opening import open_judge
from ugicm_evaluation.judges.protocol import Judge
from ugicm_evaluation.measuring.plan import Coding, Job
from ugicm_evaluation.report.judges import CLASSIFIERS, OBJECT_JUDGES, Kind, small_judge, weights_of
from ugicm_evaluation.tasks.choosing import choose_task
from ugicm_evaluation.tasks.protocol import Task

__all__ = ["LONGEST_SIDE", "VIEWS", "Plan", "Wanted", "make_plan"]

VIEWS = (0.0, 0.25, 0.5, 0.75, 1.0)
_ENDS = (0.0, 1.0)

# Pillow's qualities: closer where files are as small as streams.
_JPEG_QUALITIES = (*range(1, 20), *range(20, 96, 3))
_WEBP_QUALITIES = (0, 1, 2, 3, 5, 7, *range(10, 100, 5))

LONGEST_SIDE = 640


@dataclass(frozen=True)
class Wanted:
    """What the user asks for.

    Attributes:
        data: a folder with any of ``photos/`` (a folder of lossless pictures), ``imagenet/``
            (``labels.json``), ``coco/`` (``instances.json``), and ``weights/`` of the judges.
        teacher: specification of the teacher that judges similarity in CLIP space.
        qualities: at which judges look.
        sweep_qualities: of these, at which they look at every position of the view.
        rate_qualities: of the rate-distortion curves.
        every: only each so-manieth picture of a dataset.
    """

    model: str
    baseline: str | None
    data: Path
    teacher: str | None
    qualities: tuple[int, ...]
    sweep_qualities: tuple[int, ...]
    rate_qualities: tuple[int, ...]
    every: int


@dataclass(frozen=True)
class Plan:
    """What is measured, and what of it is scored.

    Attributes:
        rate_dataset: whose files are compared with JPEG's and WebP's.
        tasks: by dataset.
        left_out: what is not measured, and why.
    """

    codecs: Mapping[str, Callable[[], PictureCodec]]
    judges: Mapping[str, Callable[[], Judge]]
    jobs: Sequence[Job]
    rate_dataset: str | None
    tasks: Mapping[str, Sequence[Task]]
    left_out: Sequence[str]


def make_plan(wanted: Wanted) -> Plan:
    """Look at what the data folder holds, and plan to measure all of it.

    Raises:
        BadDataset: the folder holds none of the datasets, or a damaged one.
    """
    codecs: dict[str, Callable[[], PictureCodec]] = {"model": partial(ModelCodec, wanted.model)}
    if wanted.baseline is not None:
        codecs["baseline"] = partial(ModelCodec, wanted.baseline)
    judges: dict[str, Callable[[], Judge]] = {}
    jobs: list[Job] = []
    tasks: dict[str, list[Task]] = {}
    left_out: list[str] = []
    rate_dataset = None

    def add(dataset: Dataset, codings: Sequence[Coding], looking: Sequence[Task]) -> None:
        if looking:
            tasks[dataset.name] = list(looking)
        names = tuple(task.judge for task in looking)
        side = LONGEST_SIDE if looking else None
        samples = dataset.samples[:: wanted.every]
        jobs.extend(
            Job(dataset.name, one, tuple(codings), names, longest_side=side) for one in samples
        )

    def invite(dataset: DatasetConfig, kinds: Sequence[Kind]) -> list[Task]:
        looking: list[Task] = []
        for kind in kinds:
            weights = weights_of(wanted.data, kind)
            if weights.exists():
                looking.append(ask(dataset, small_judge(wanted.data, kind)))
            else:
                left_out.append(f"{kind[0]}: the data folder has no weights/{weights.name}")
        if wanted.teacher is not None:
            looking.append(ask(dataset, Clip(name="clip_space", teacher=wanted.teacher)))
        return looking

    def ask(dataset: DatasetConfig, config: JudgeConfig) -> Task:
        judges[config.name] = partial(open_judge, config)
        return choose_task(config.name, open_judge(config), dataset)

    if wanted.teacher is None:
        left_out.append("similarity in CLIP space: no teacher was given")
    if (wanted.data / "photos").is_dir():
        photos = PictureFolder(wanted.data / "photos")
        rate_dataset = photos.name
        codecs.update({"JPEG": partial(_itself, JPEG), "WebP": partial(_itself, WEBP)})
        add(photos, _rate_codings(wanted), [])
    if (wanted.data / "imagenet").is_dir():
        labelled = Labelled(name="imagenet", folder=wanted.data / "imagenet")
        add(open_dataset(labelled), _judged_codings(wanted), invite(labelled, CLASSIFIERS))
    if (wanted.data / "coco").is_dir():
        folder = wanted.data / "coco"
        objects = Coco(name="coco", images=folder / "images", annotations=folder / "instances.json")
        add(open_dataset(objects), _judged_codings(wanted), invite(objects, OBJECT_JUDGES))
    left_out += [
        f"{what}: the data folder has no {folder}/"
        for folder, what in (
            ("photos", "rate and distortion"),
            ("imagenet", "classification"),
            ("coco", "detection and segmentation"),
        )
        if not (wanted.data / folder).is_dir()
    ]
    if not jobs:
        raise BadDataset(f"{wanted.data} holds none of photos/, imagenet/ and coco/")
    return Plan(codecs, judges, jobs, rate_dataset, tasks, left_out)


def _itself(codec: PillowCodec) -> PictureCodec:
    return codec


def _rate_codings(wanted: Wanted) -> list[Coding]:
    codings = [Coding("model", quality, _ENDS) for quality in wanted.rate_qualities]
    if wanted.baseline is not None:
        codings += [Coding("baseline", quality, (0.0,)) for quality in wanted.rate_qualities]
        codings += [
            Coding("baseline", quality, (0.0,), within="model") for quality in wanted.rate_qualities
        ]
    codings += [Coding("JPEG", quality, (0.0,)) for quality in _JPEG_QUALITIES]
    codings += [Coding("WebP", quality, (0.0,)) for quality in _WEBP_QUALITIES]
    return codings


def _judged_codings(wanted: Wanted) -> list[Coding]:
    codings = [
        Coding("model", quality, VIEWS if quality in wanted.sweep_qualities else _ENDS)
        for quality in wanted.qualities
    ]
    if wanted.baseline is not None:
        codings += [
            Coding("baseline", quality, (0.0,), within="model") for quality in wanted.qualities
        ]
    return codings
