"""The paper's tables and figures, each a function that returns a run's configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ugicm_evaluation.config import CodecConfig, DatasetConfig, Model, RunConfig, Updated
from ugicm_evaluation.errors import MissingMaterial
from ugicm_evaluation.judges.clip_space import weights_file
from ugicm_evaluation.presets.benchmark import Benchmark, Goal, Need, Setting
from ugicm_evaluation.presets.benchmarks import BENCHMARKS

__all__ = ["PRESETS", "Material", "Preset", "check", "make_config", "updated_under"]

# Four rates, as in the paper.
_QUALITIES = (0, 25, 50, 75)
_HUMAN, _MACHINE = 0.0, 1.0
_VIEWS = (0.0, 0.25, 0.5, 0.75, 1.0)

# The toy study's (Eq. 3).
_DELTAS = (1, 2, 8)

_FOR_MODELS = (Goal.CLASSIFICATION, Goal.DETECTION, Goal.INSTANCES, Goal.SEMANTICS)


@dataclass(frozen=True)
class Material:
    """What a user has.

    Attributes:
        data: the folder that holds data sets and weights.
        setting: whose data and judges.
        models: UG-ICM, by name or file: one with a range of rates, or one for each rate.
        backbones: the same without UG-ICM, files; by default one is expected in the folder.
        single_scale: UG-ICM trained with the global CLIP loss alone; as above.
        teacher: of the toy study, as ``ugicm-train run`` takes it.
        subset: of each data set at most so many pictures, spread evenly; None for all.
    """

    data: Path
    setting: Setting = Setting.PAPER
    models: tuple[str, ...] = ("default",)
    backbones: tuple[Path, ...] = ()
    single_scale: tuple[Path, ...] = ()
    teacher: str = "open_clip:ViT-B-32:openai"
    subset: int | None = None

    @property
    def backbone_files(self) -> tuple[Path, ...]:
        return self.backbones or (self.data / "models" / "backbone.safetensors",)

    @property
    def single_scale_files(self) -> tuple[Path, ...]:
        return self.single_scale or (self.data / "models" / "single-scale.safetensors",)


@dataclass(frozen=True)
class Preset:
    """A table or figure of the paper.

    Attributes:
        about: what is compared, in one line.
        goals: whose benchmarks it runs.
        codecs: that it compares.
        files: that they need.
    """

    about: str
    goals: tuple[Goal, ...]
    codecs: Callable[[Material], tuple[CodecConfig, ...]]
    files: Callable[[Material], tuple[Need, ...]]

    def benchmarks(self, material: Material) -> list[Benchmark]:
        """Return what it runs with this material."""
        return [BENCHMARKS[material.setting][goal] for goal in self.goals]

    def needs(self, material: Material) -> list[Need]:
        """Return every file and folder, each once."""
        found = [need for one in self.benchmarks(material) for need in one.needs(material.data)]
        return list(dict.fromkeys([*found, *self.files(material)]))


def check(name: str, material: Material) -> None:
    """See that everything is there that a preset needs.

    Raises:
        MissingMaterial: something is not; all of it is named.
    """
    needs = PRESETS[name].needs(material)
    missing = [need for need in needs if not need.path.exists()]
    if missing:
        paths = ", ".join(f"{need.path} ({need.what})" for need in missing)
        raise MissingMaterial(
            f"{name} lacks {len(missing)} of {len(needs)}: {paths}; "
            f"`ugicm-evaluate preset {name} --explain` says where to get them"
        )


def make_config(name: str, material: Material) -> RunConfig:
    """Return the run that a preset is.

    Raises:
        MissingMaterial: something that it needs is not there.
    """
    check(name, material)
    preset = PRESETS[name]
    benchmarks = preset.benchmarks(material)
    lpips = [one.lpips(material.data) for one in benchmarks]
    return RunConfig(
        name=name,
        datasets=tuple(_part(one.dataset(material.data), material.subset) for one in benchmarks),
        codecs=preset.codecs(material),
        judges=tuple(judge for one in benchmarks for judge in one.judges(material.data)),
        lpips=next((one for one in lpips if one is not None), None),
    )


def _part(dataset: DatasetConfig, most: int | None) -> DatasetConfig:
    if most is None:
        return dataset
    return msgspec.structs.replace(dataset, most=min(most, dataset.most or most))


def _model(name: str, models: Sequence[str | Path], views: tuple[float, ...] = (_HUMAN,)) -> Model:
    """Return a codec of a model with a range of rates, or of one model for each rate."""
    names = tuple(map(str, models))
    if len(names) == 1:
        return Model(name=name, model=names[0], qualities=_QUALITIES, views=views)
    return Model(name=name, model=names, qualities=tuple(range(len(names))), views=views)


def _backbone(material: Material) -> Model:
    return _model("backbone", material.backbone_files)


def _with_and_without(material: Material) -> tuple[CodecConfig, ...]:
    """Compare the backbone with UG-ICM's two views (Fig. 5 and 6)."""
    return (_backbone(material), _model("UG-ICM", material.models, (_HUMAN, _MACHINE)))


def _along_the_view(material: Material) -> tuple[CodecConfig, ...]:
    """Compare the backbone with human and machine view, and what lies between (Fig. 9)."""
    return (_backbone(material), _model("UG-ICM", material.models, _VIEWS))


def _clip_scales(material: Material) -> tuple[CodecConfig, ...]:
    """Compare machine views taught by the global CLIP loss and by that at all scales (Fig. 10)."""
    return (
        _model("single", material.single_scale_files, (_MACHINE,)),
        _model("multi", material.models, (_MACHINE,)),
    )


def _toy_study(material: Material) -> tuple[CodecConfig, ...]:
    """Compare the backbone with itself, updated under CLIP (Eq. 3)."""
    backbone = _backbone(material)
    return (backbone, *updated_under(material.teacher, backbone))


def updated_under(teacher: str, model: Model) -> tuple[Updated, ...]:
    """Return the toy study's updates of a model's human view, one for each of the paper's deltas.

    Args:
        teacher: as ``ugicm-train run`` takes it.
        model: whose streams are decoded, and where.
    """
    return tuple(
        Updated(
            name=f"updated, delta {delta}",
            model=model.model,
            qualities=model.qualities,
            teacher=teacher,
            delta=delta,
            datasets=model.datasets,
        )
        for delta in _DELTAS
    )


def _backbone_file(material: Material) -> tuple[Need, ...]:
    source = "a model trained without UG-ICM, or imported: `ugicm models import --help`"
    return tuple(Need("the backbone", path, source) for path in material.backbone_files)


def _single_scale_file(material: Material) -> tuple[Need, ...]:
    source = "a model trained with the global CLIP loss alone: docs/training.md"
    files = material.single_scale_files
    return tuple(Need("UG-ICM of a single scale", path, source) for path in files)


def _toy_files(material: Material) -> tuple[Need, ...]:
    kind, _, rest = material.teacher.partition(":")
    path = weights_file(material.teacher) or (Path(rest) if kind == "stand-in" else None)
    if path is None:  # open_clip fetches its weights by their tag
        return _backbone_file(material)
    return (*_backbone_file(material), Need("the teacher", path, "`ugicm-train teacher --help`"))


PRESETS: Mapping[str, Preset] = {
    **{
        goal.value: Preset(
            "backbone with and without UG-ICM, for models (Fig. 5)",
            (goal,),
            _with_and_without,
            _backbone_file,
        )
        for goal in _FOR_MODELS
    },
    Goal.PERCEPTION.value: Preset(
        "backbone with and without UG-ICM, for people (Fig. 6)",
        (Goal.PERCEPTION,),
        _with_and_without,
        _backbone_file,
    ),
    "views": Preset(
        "human against machine view, and between (Fig. 9)",
        (Goal.DETECTION, Goal.PERCEPTION),
        _along_the_view,
        _backbone_file,
    ),
    "clip-scales": Preset(
        "single against multi-scale CLIP (Fig. 10)",
        (Goal.DETECTION, Goal.SEMANTICS),
        _clip_scales,
        _single_scale_file,
    ),
    "toy-study": Preset(
        "decoded pictures updated under CLIP (Eq. 3, Fig. 3)",
        (Goal.TOY_DETECTION, Goal.TOY_SEMANTICS),
        _toy_study,
        _toy_files,
    ),
}
