"""Everything that a small data folder can show of a model, beside the formats that people use."""

from __future__ import annotations

from pathlib import Path

from ugicm_evaluation.config import (
    Clip,
    Coco,
    CodecConfig,
    Labelled,
    Lpips,
    Model,
    Pictures,
    PillowFormat,
    RunConfig,
    Sweep,
)
from ugicm_evaluation.presets.presets import updated_under
from ugicm_evaluation.report.judges import (
    CLASSIFIERS,
    OBJECT_JUDGES,
    SQUEEZENET,
    small_judge,
    weights_of,
)
from ugicm_evaluation.report.plan import LONGEST_SIDE, VIEWS

__all__ = [
    "LABELLED",
    "MODEL",
    "OBJECTS",
    "PHOTOS",
    "SWEPT",
    "TOY",
    "small_results",
]

# The model's name, and that of the toy study's baseline.
MODEL, UNCHANGED = "UG-ICM", "human view"

PHOTOS, LABELLED, OBJECTS, TOY = "photos", "imagenet", "coco", "toy-study"
_CODED = (PHOTOS, LABELLED, OBJECTS)

_QUALITIES = (0, 15, 30, 50, 75)
SWEPT = (15, 50)
_TOY_QUALITY = 15

# Qualities at which files are about as small as the model's streams.
_FORMATS = (
    PillowFormat(name="JPEG", format="jpeg", qualities=(5, 10, 20, 40), datasets=_CODED),
    PillowFormat(name="WebP", format="webp", qualities=(0, 10, 30, 60), datasets=_CODED),
    PillowFormat(name="AVIF", format="avif", qualities=(15, 30, 45, 60), datasets=_CODED),
    PillowFormat(name="JPEG XL", format="jpeg-xl", qualities=(5, 20, 40, 65), datasets=_CODED),
)


def small_results(model: str, data: Path, teacher: str, *, every: int) -> RunConfig:
    """Return the run behind ``docs/results.md``.

    Args:
        model: a bundled model, or a model file.
        data: as ``ugicm-evaluate report`` reads it.
        teacher: judges similarity in CLIP space, and updates pictures in the toy study (Eq. 3).
        every: judges look at each so-manieth picture alone, and the toy study at a third of them.
    """
    folder = data / "coco"
    unchanged = Model(name=UNCHANGED, model=model, qualities=(_TOY_QUALITY,), datasets=(TOY,))
    codecs: tuple[CodecConfig, ...] = (
        Model(
            name=MODEL,
            model=model,
            qualities=_QUALITIES,
            views=(0.0, 1.0),
            sweep=Sweep(qualities=SWEPT, views=VIEWS),
            datasets=_CODED,
        ),
        *_FORMATS,
        unchanged,
        *updated_under(teacher, unchanged),
    )
    eyes = tuple(kind[0] for kind in OBJECT_JUDGES)

    def objects(name: str, every: int) -> Coco:
        return Coco(
            name=name,
            images=folder / "images",
            annotations=folder / "instances.json",
            every=every,
            longest_side=LONGEST_SIDE,
            judges=(*eyes, "clip_space"),
        )

    return RunConfig(
        name="results",
        datasets=(
            Pictures(
                name=PHOTOS,
                folder=data / "photos",
                metrics=("psnr", "ssim", "lpips"),  # the paper's
            ),
            Labelled(
                name=LABELLED,
                folder=data / "imagenet",
                every=every,
                longest_side=LONGEST_SIDE,
                judges=(*(kind[0] for kind in CLASSIFIERS), "clip_space"),
            ),
            objects(OBJECTS, every),
            objects(TOY, 3 * every),
        ),
        codecs=codecs,
        judges=(
            *(small_judge(data, kind) for kind in (*CLASSIFIERS, *OBJECT_JUDGES)),
            Clip(name="clip_space", teacher=teacher),
        ),
        lpips=Lpips(backbone="squeeze", weights=weights_of(data, SQUEEZENET)),
    )
