"""Instances out of other people's files, in COCO's JSON: FreeSOLO's masks, or annotations."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from pycocotools import mask as coco

from ugicm_training.errors import BadMasks
from ugicm_training.instances.protocol import Masks, Picture
from ugicm_training.instances.rle import PictureMasks, compress

__all__ = ["CocoFile"]

_Side = Annotated[int, msgspec.Meta(ge=1, le=65535)]
_Coordinate = Annotated[float, msgspec.Meta(ge=-65535, le=65535)]
_Polygon = Annotated[list[_Coordinate], msgspec.Meta(min_length=6)]


class _Runs(msgspec.Struct, frozen=True):
    size: tuple[_Side, _Side]
    counts: str | list[Annotated[int, msgspec.Meta(ge=0, lt=2**32)]]


class _Annotation(msgspec.Struct, frozen=True):
    image_id: int | str
    segmentation: _Runs | list[_Polygon]
    score: float = 0.0
    iscrowd: int = 0


class _Image(msgspec.Struct, frozen=True):
    id: int | str
    file_name: str
    height: _Side | None = None
    width: _Side | None = None


class _Annotations(msgspec.Struct, frozen=True):
    images: list[_Image]
    annotations: list[_Annotation]


@dataclass(frozen=True)
class CocoFile:
    """A JSON file of masks: COCO annotations (a dictionary with ``images``) or results (a list).

    Masks are compressed or uncompressed run lengths, or polygons. Those of a picture come in the
    order of their scores; crowds are no instances and left out. Pictures are found by the base
    name of ``file_name``; results have no names, so theirs are found by an ``image_id`` that is
    the name, or the name without suffix, or (as COCO numbers its files) the number in it.

    Attributes:
        path: of the file; read once in each process that segments.
    """

    path: Path

    @property
    def description(self) -> str:
        return f"masks of {self.path.name}"

    def check(self) -> None:
        """Read the file.

        Raises:
            BadMasks: it is no such JSON; the message says what is wrong where.
            OSError: it cannot be read.
        """
        _content(self.path)

    def segment(self, name: str, picture: Picture) -> Masks:
        """Return the masks that the file has for a picture, none where it has none.

        Raises:
            BadMasks: they were made from a picture of another size, or are damaged.
        """
        height, width = picture.shape[:2]
        known = _content(self.path)
        found = next((known[key] for key in _keys(name) if key in known), _Found())
        try:
            _compare(found.size, height, width)
            runs = [_compressed(shape, height, width) for shape in found.shapes]
            return PictureMasks(height, width, tuple(runs)).decode()
        except BadMasks as error:
            raise BadMasks(f"{self.path}, picture {name}: {error}") from error


def _keys(name: str) -> tuple[str, ...]:
    base = Path(name)
    number = str(int(base.stem)) if base.stem.isdecimal() else base.stem
    return (name, base.name, base.stem, number)


@dataclass
class _Found:
    """What a file holds for one picture; the size is None where it does not say."""

    size: tuple[int, int] | None = None
    shapes: list[_Runs | list[_Polygon]] = field(default_factory=list)


@cache
def _content(path: Path) -> dict[str, _Found]:
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_Annotations | list[_Annotation])
    except msgspec.MsgspecError as error:
        raise BadMasks(f"{path} holds no masks as COCO writes them: {error}") from error
    of_name: dict[str, _Found] = defaultdict(_Found)
    names = {}
    if isinstance(content, list):
        annotations = content
    else:
        annotations = content.annotations
        for image in content.images:
            name = names[image.id] = Path(image.file_name).name
            if image.height is not None and image.width is not None:
                of_name[name].size = (image.height, image.width)
    for annotation in sorted(annotations, key=lambda annotation: -annotation.score):
        if annotation.segmentation and not annotation.iscrowd:  # a box alone has no polygon
            name = names.get(annotation.image_id, str(annotation.image_id))
            of_name[name].shapes.append(annotation.segmentation)
    return dict(of_name)


def _compressed(shape: _Runs | list[_Polygon], height: int, width: int) -> bytes:
    if isinstance(shape, list):
        runs: dict[str, Any] = coco.merge(coco.frPyObjects(shape, height, width))
        return bytes(runs["counts"])
    _compare(shape.size, height, width)
    if isinstance(shape.counts, str):
        return shape.counts.encode("ascii", "replace")
    return compress(shape.counts, height, width)


def _compare(size: tuple[int, int] | None, height: int, width: int) -> None:
    if size not in (None, (height, width)):
        raise BadMasks(f"masks of {size[0]}x{size[1]} pixels for one of {height}x{width}")
