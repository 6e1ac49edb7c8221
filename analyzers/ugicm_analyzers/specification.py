"""What an analyzer is made of, as settings and model folders say it."""

from __future__ import annotations

import enum
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from ugicm_analyzers.errors import AnalyzerUnavailable, BadSpecification

__all__ = ["MANIFEST", "Kind", "Preprocessing", "Specification", "parse_specification"]

MANIFEST = "analyzer.toml"


class Kind(enum.Enum):
    """The library that runs a network."""

    EMBEDDED = "embedded"
    ONNX = "onnx"
    OPEN_CLIP = "open_clip"
    TFLITE = "tflite"
    TORCHVISION = "torchvision"
    ULTRALYTICS = "ultralytics"


# Of these, a specification names the architecture first.
_WITH_MODEL = frozenset({Kind.OPEN_CLIP, Kind.TORCHVISION})
_ON_CPU_ONLY = frozenset({Kind.EMBEDDED, Kind.TFLITE})


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a classifier does to a picture; ImageNet's usual values by default.

    Attributes:
        resize: pixels of the shorter side, from which the centre is cut.
        crop: pixels of the centre's sides.
        mean: subtracted from red, green and blue, of a range from 0 to 1.
        deviation: divides what is left.
    """

    resize: int = 256
    crop: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225)


class Specification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One analyzer; what stands at its default, its library or its weights decide.

    Attributes:
        name: what to ask for it by.
        kind: the library that runs it.
        model: the architecture, as the library names it.
        weights: a file, or the name of weights that the library fetches by itself.
        labels: of the network's classes in their order, or the name of a known list (``coco``,
            ``imagenet``, ``voc``), or a text file with one in each line.
        only: leaves out findings of other labels; empty keeps all.
        minimum_score: leaves out less likely findings where the caller names no minimum.
        least_score: what scores less is no detection at all; 0.001 is usual for mean average
            precision.
        device: that computes: ``cpu``, ``cuda``, or one of several as ``cuda:1``.
        preprocessing: of a classifier.
        template: of what a text encoder reads; ``{}`` stands for the label.
    """

    name: str
    kind: Kind
    model: str = ""
    weights: str = ""
    labels: tuple[str, ...] | str = ()
    only: tuple[str, ...] = ()
    minimum_score: float | None = None
    least_score: float = 0.05
    device: str = "cpu"
    preprocessing: Preprocessing | None = None
    template: str = "a photo of a {}."

    def __post_init__(self) -> None:
        scores = {"least_score": self.least_score, "minimum_score": self.minimum_score or 0.0}
        for key, score in scores.items():
            if not 0.0 <= score <= 1.0:
                raise BadSpecification(f"{self.name}: {key} is from 0 to 1, got {score:g}")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise BadSpecification(
                f"{self.name}: a device is cpu, cuda or cuda:NUMBER, got {self.device!r}"
            )
        if self.device != "cpu" and self.kind in _ON_CPU_ONLY:
            raise BadSpecification(
                f"{self.name}: {self.kind.value} computes on the cpu only, got {self.device!r}"
            )
        size = self.preprocessing or Preprocessing()
        if not 1 <= size.crop <= size.resize:
            raise BadSpecification(
                f"{self.name}: preprocessing cuts at most resize = {size.resize} pixels and at "
                f"least 1, got crop = {size.crop}"
            )
        if not all(deviation > 0.0 for deviation in size.deviation):
            raise BadSpecification(f"{self.name}: deviation is above 0, got {size.deviation}")
        if self.template.count("{}") != 1:
            raise BadSpecification(f"{self.name}: the template has one {{}}, got {self.template!r}")


def parse_specification(text: str) -> Specification:
    """Return what one word of the settings asks for.

    It is the name of an embedded analyzer, or ``NAME=WHAT``, with one of these for ``WHAT``::

        torchvision:MODEL[:WEIGHTS]   open_clip:MODEL:WEIGHTS
        ultralytics:WEIGHTS           onnx:FILE           tflite:FILE
        FOLDER                        that holds an analyzer.toml

    Raises:
        BadSpecification: it is none of these, or the folder's file is wrong.
        AnalyzerUnavailable: the folder or its file cannot be read.
    """
    name, equals, what = text.partition("=")
    if not equals:
        return Specification(name=name, kind=Kind.EMBEDDED)
    if not name or not what:
        raise BadSpecification(f"an analyzer is specified as NAME=WHAT, got {text!r}")
    word, colon, rest = what.partition(":")
    kinds = {kind.value: kind for kind in Kind if kind is not Kind.EMBEDDED}
    if not colon:
        return _read_folder(name, Path(what))
    if word not in kinds:
        raise BadSpecification(f"{text}: there are {', '.join(kinds)} or a folder, got {word!r}")
    kind = kinds[word]
    model, _, weights = rest.partition(":") if kind in _WITH_MODEL else ("", "", rest)
    return Specification(name=name, kind=kind, model=model, weights=weights)


def _read_folder(name: str, folder: Path) -> Specification:
    path = folder / MANIFEST
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AnalyzerUnavailable(
            f"{path} cannot be read ({error.strerror}): name a folder that holds it, or KIND:..."
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSpecification(f"{path} is no TOML: {error}") from error
    try:
        specification = msgspec.convert({**values, "name": name}, Specification)
    except (msgspec.ValidationError, BadSpecification) as error:
        raise BadSpecification(f"{path}: {error}") from error
    beside = {
        key: str(folder / value)
        for key, value in (("weights", specification.weights), ("labels", specification.labels))
        if isinstance(value, str) and value and (folder / value).is_file()
    }
    return msgspec.structs.replace(specification, **beside)
