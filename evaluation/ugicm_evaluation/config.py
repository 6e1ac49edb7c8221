"""What a run is: pictures, codecs, metrics and judges, as one value that a file or code gives.

A function that returns a ``RunConfig`` is a preset; a variant changes a copy with
``msgspec.structs.replace``.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from ugicm_evaluation.errors import BadConfig

__all__ = [
    "Analyzer",
    "ClassFolders",
    "Clip",
    "Coco",
    "CodecConfig",
    "DatasetConfig",
    "Decoded",
    "JudgeConfig",
    "Labelled",
    "Lpips",
    "Model",
    "Models",
    "Pictures",
    "PillowFormat",
    "RunConfig",
    "Sweep",
    "Updated",
    "VocDetection",
    "VocSegmentation",
    "Zoo",
    "read_config",
]

Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[^\s:@/][^:@/]*$", max_length=60)]
Quality: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=100)]
View: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Qualities: TypeAlias = Annotated[tuple[Quality, ...], msgspec.Meta(min_length=1)]
Views: TypeAlias = Annotated[tuple[View, ...], msgspec.Meta(min_length=1)]
# One with a range of rates, or several of one rate each, whose qualities are 0, 1, and so on.
Models: TypeAlias = str | Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]
Fidelity: TypeAlias = Literal["psnr", "ssim", "ms-ssim", "lpips"]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that it does not know is an error."""


class _Dataset(_Table, frozen=True, kw_only=True, tag_field="kind"):
    """What every dataset says.

    Attributes:
        name: of the dataset in results.
        every: only each so-manieth picture.
        most: at most so many pictures, spread evenly over the others.
        longest_side: to which larger pictures are reduced before they are coded.
        metrics: of fidelity, computed for every decoded picture.
        judges: names of those that look at its pictures.
    """

    name: Name
    every: Positive = 1
    most: Positive | None = None
    longest_side: Positive | None = None
    metrics: tuple[Fidelity, ...] = ("psnr",)
    judges: tuple[Name, ...] = ()


class Pictures(_Dataset, frozen=True, kw_only=True, tag="pictures"):
    """A folder of pictures, Kodak's for example."""

    folder: Path


class Labelled(_Dataset, frozen=True, kw_only=True, tag="labelled"):
    """A folder of pictures with ``labels.json``, from file name to class index."""

    folder: Path


class ClassFolders(_Dataset, frozen=True, kw_only=True, tag="class-folders"):
    """A folder of pictures for each class, as ImageNet's ``val/n01440764/``.

    Attributes:
        classes: a text file whose lines begin with a class's folder name, in the order of the
            class indexes (ImageNet's ``LOC_synset_mapping.txt``); by default the folders' order.
    """

    folder: Path
    classes: Path | None = None


class Coco(_Dataset, frozen=True, kw_only=True, tag="coco"):
    """Pictures with annotations in COCO's format: boxes and, where there are any, masks."""

    images: Path
    annotations: Path


class VocDetection(_Dataset, frozen=True, kw_only=True, tag="voc-detection"):
    """PASCAL VOC's boxes.

    Attributes:
        folder: holds ``JPEGImages/``, ``Annotations/`` and ``ImageSets/Main/``.
        split: the list of ``ImageSets/Main/`` that names the pictures.
    """

    folder: Path
    split: str = "val"


class VocSegmentation(_Dataset, frozen=True, kw_only=True, tag="voc-segmentation"):
    """PASCAL VOC's label maps.

    Attributes:
        folder: holds ``JPEGImages/``, ``SegmentationClass/`` and ``ImageSets/Segmentation/``.
        split: the list of ``ImageSets/Segmentation/`` that names the pictures.
    """

    folder: Path
    split: str = "val"


DatasetConfig: TypeAlias = (
    Pictures | Labelled | ClassFolders | Coco | VocDetection | VocSegmentation
)


class _Codec(_Table, frozen=True, kw_only=True, tag_field="kind"):
    """What every codec says.

    Attributes:
        name: of the codec in results.
        datasets: names of those that it codes; by default all.
    """

    name: Name
    datasets: tuple[Name, ...] | None = None


class Sweep(_Table, frozen=True, kw_only=True):
    """Qualities at which a model's streams are decoded for other views as well."""

    qualities: Qualities
    views: Views


class Model(_Codec, frozen=True, kw_only=True, tag="model"):
    """A model of this project.

    Attributes:
        model: a bundled model's name, or a model file; or several, of one rate each, which make
            one curve: qualities are then their places in the list, from 0.
        views: that are decoded from each stream.
        sweep: further views at some of the qualities.
        within: name of a model above in the list: every picture is coded to at most the bytes
            of that model's stream of the same quality.
    """

    model: Models
    qualities: Qualities
    views: Views = (0.0,)
    sweep: Sweep | None = None
    within: Name | None = None

    def __post_init__(self) -> None:
        """Raise ``ValueError`` where a quality is no model's."""
        _check_places(self.model, self.qualities)
        if self.within is not None and not isinstance(self.model, str):
            raise ValueError(f"{self.name}: only a model with a range of rates can stay within")

    def views_at(self, quality: int) -> tuple[float, ...]:
        """Return the views that are decoded from streams of a quality, in ascending order."""
        more = self.sweep.views if self.sweep and quality in self.sweep.qualities else ()
        return tuple(sorted({*self.views, *more})) if more else self.views


class Updated(_Codec, frozen=True, kw_only=True, tag="updated"):
    """A model whose human view is updated under a teacher that sees the original: a study.

    Attributes:
        model: as above.
        teacher: as ``ugicm-train run`` takes it.
        delta: levels of 255 by which a value may change at most.
        step_levels: levels of 255 by which one step changes every value; the paper gives none.
            The same for all deltas: steps that grow with delta overshoot, and a larger delta would
            then teach less.
        steps: of the update; by default as many as reach the paper's largest delta, 8.
    """

    model: Models
    qualities: Qualities
    teacher: str
    delta: Annotated[int, msgspec.Meta(ge=1, le=255)]
    step_levels: Annotated[float, msgspec.Meta(gt=0.0, le=255.0)] = 0.25
    steps: Positive = 32

    def __post_init__(self) -> None:
        """Raise ``ValueError`` where a quality is no model's."""
        _check_places(self.model, self.qualities)


class PillowFormat(_Codec, frozen=True, kw_only=True, tag="pillow"):
    """A format that Pillow writes; qualities are the format's own."""

    format: Literal["jpeg", "webp", "avif", "jpeg-xl"]
    qualities: Qualities


class Zoo(_Codec, frozen=True, kw_only=True, tag="compressai"):
    """A model of CompressAI's zoo.

    Attributes:
        architecture: the zoo's name of it, such as ``bmshj2018-hyperprior``.
        weights: a folder with a checkpoint for each quality, named ``*-QUALITY-*.pth.tar`` as
            CompressAI's own files are or ``QUALITY.pth``; by default CompressAI downloads its own.
    """

    architecture: str
    qualities: Qualities
    metric: Literal["mse", "ms-ssim"] = "mse"
    weights: Path | None = None


class Decoded(_Codec, frozen=True, kw_only=True, tag="decoded"):
    """Pictures that any other codec decoded, with the bytes it took.

    Attributes:
        table: a CSV file with the columns ``picture``, ``quality``, ``bytes``, ``file`` and, where
            there are several, ``view``; files are relative to its folder.
    """

    table: Path


CodecConfig: TypeAlias = Model | Updated | PillowFormat | Zoo | Decoded


class _Judge(_Table, frozen=True, kw_only=True, tag_field="kind"):
    """What every judge says: its name in results."""

    name: Name


class Clip(_Judge, frozen=True, kw_only=True, tag="clip"):
    """What a picture means, as a vector in CLIP's space.

    Attributes:
        teacher: as ``ugicm-train run`` takes it.
    """

    teacher: str


class Analyzer(_Judge, frozen=True, kw_only=True, tag="analyzer"):
    """Any analyzer that the analytics service knows, too.

    Attributes:
        analyzer: ``torchvision:MODEL[:WEIGHTS]``, ``onnx:FILE`` and so on, as the analytics
            service takes it after ``NAME=``; or an embedded analyzer's name.
        labels: for one that tells any labels apart.
        least_score: what a detector finds less likely is left out.
        shapes: of what a detector finds.
    """

    analyzer: str
    labels: tuple[str, ...] = ()
    least_score: View = 0.001
    shapes: Literal["boxes", "masks"] = "boxes"


JudgeConfig: TypeAlias = Analyzer | Clip


class Lpips(_Table, frozen=True, kw_only=True):
    """The backbone of LPIPS.

    Attributes:
        backbone: torchvision's ``alexnet``, ``vgg16`` or ``squeezenet1_1``.
        weights: its ImageNet weights, as torchvision publishes them or as safetensors.
    """

    backbone: Literal["alex", "vgg", "squeeze"] = "alex"
    weights: Path


class RunConfig(_Table, frozen=True, kw_only=True):
    """Everything that decides a run's figures.

    Attributes:
        lpips: needed where a dataset asks for it.
        draws: of the bootstrap.
        seed: of the draws.
    """

    name: Name
    datasets: Annotated[tuple[DatasetConfig, ...], msgspec.Meta(min_length=1)]
    codecs: Annotated[tuple[CodecConfig, ...], msgspec.Meta(min_length=1)]
    judges: tuple[JudgeConfig, ...] = ()
    lpips: Lpips | None = None
    draws: Annotated[int, msgspec.Meta(ge=100, le=100_000)] = 2000
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        """Raise ``ValueError`` where a name is taken twice, or means nothing."""
        for what, tables in (
            ("datasets", self.datasets),
            ("codecs", self.codecs),
            ("judges", self.judges),
        ):
            twice = [name for name, n in Counter(t.name for t in tables).items() if n > 1]
            if twice:
                raise ValueError(f"two {what} are called {twice[0]!r}")
        judges = {judge.name for judge in self.judges}
        for dataset in self.datasets:
            _known(f"judges of {dataset.name}", dataset.judges, judges)
            if "lpips" in dataset.metrics and self.lpips is None:
                raise ValueError(
                    f"{dataset.name} asks for lpips, and no lpips.weights names its backbone's file"
                )
        datasets = {dataset.name for dataset in self.datasets}
        for index, codec in enumerate(self.codecs):
            _known(f"datasets of {codec.name}", codec.datasets or (), datasets)
            if isinstance(codec, Model) and codec.within is not None:
                _check_budget(codec, self.codecs[:index])


def _check_places(model: Models, qualities: Qualities) -> None:
    if not isinstance(model, str) and max(qualities) >= len(model):
        raise ValueError(
            f"{len(model)} models have the qualities 0 to {len(model) - 1}, got {max(qualities)}"
        )


def _known(what: str, names: Iterable[str], known: set[str]) -> None:
    unknown = sorted(set(names) - known)
    if unknown:
        there = ", ".join(sorted(known)) or "none"
        raise ValueError(f"{what}: none is called {unknown[0]!r}; there are {there}")


def _check_budget(codec: Model, above: Iterable[CodecConfig]) -> None:
    for other in above:
        if other.name == codec.within and isinstance(other, Model) and other.within is None:
            missing = sorted(set(codec.qualities) - set(other.qualities))
            if missing:
                raise ValueError(
                    f"{codec.name}: {other.name} has no quality {missing[0]} to stay within"
                )
            if codec.datasets != other.datasets:
                raise ValueError(f"{codec.name} and {other.name} code different datasets")
            return
    raise ValueError(f"{codec.name}: no model above it is called {codec.within!r}")


def read_config(path: Path) -> RunConfig:
    """Read a TOML file; paths in it are relative to its folder.

    Raises:
        BadConfig: it is none, or what it says cannot be run.
    """
    folder = path.parent

    def to_path(kind: type, value: Any) -> Any:
        if kind is Path and isinstance(value, str):
            return folder / Path(value).expanduser()
        raise ValueError(f"expected a path, got {value!r}")

    try:
        content = tomllib.loads(path.read_text())
        config = msgspec.convert(content, RunConfig, dec_hook=to_path)
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path}: {error}") from error
    return msgspec.structs.replace(
        config,
        codecs=tuple(_codec_beside(one, folder) for one in config.codecs),
        judges=tuple(
            msgspec.structs.replace(one, analyzer=_beside(one.analyzer, folder))
            if isinstance(one, Analyzer)
            else msgspec.structs.replace(one, teacher=_beside(one.teacher, folder))
            for one in config.judges
        ),
    )


def _codec_beside(config: CodecConfig, folder: Path) -> CodecConfig:
    match config:
        case Model():
            return msgspec.structs.replace(config, model=_models_beside(config.model, folder))
        case Updated():
            return msgspec.structs.replace(
                config,
                model=_models_beside(config.model, folder),
                teacher=_beside(config.teacher, folder),
            )
        case _:
            return config


def _models_beside(model: Models, folder: Path) -> Models:
    if isinstance(model, str):
        return _beside(model, folder)
    return tuple(_beside(one, folder) for one in model)


def _beside(text: str, folder: Path) -> str:
    """Return a specification whose last part, if it is a file there, is named in full."""
    before, colon, last = text.rpartition(":")
    path = folder / Path(last).expanduser()
    return f"{before}{colon}{path}" if last and path.exists() else text
