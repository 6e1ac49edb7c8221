"""How exported detectors want their pictures, and what their numbers mean."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ugicm_analyzers.adapters.onnx_session import Network, Port
from ugicm_analyzers.detecting import Boxes, suppress
from ugicm_analyzers.errors import BadWeights
from ugicm_analyzers.protocol import Pixels

__all__ = ["Layout", "layout_of"]

_STRIDES = (8, 16, 32)
# The side of exports that take any.
_USUAL_SIDE = 640
_PADDING = 114

_Written = TypeVar("_Written", list[int], dict[int, str])


class Layout(Protocol):
    """One family's conventions.

    Attributes:
        confident: the score from which the family's own demonstrations show a detection.
        classes: how many it tells apart; None if the graph does not say.
        own_labels: what its exporter called them, if anything.
        background_first: whether class 0 is none of the labels.
    """

    confident: ClassVar[float]
    classes: int | None
    own_labels: tuple[str, ...]
    background_first: bool

    def find(self, pictures: Sequence[Pixels], least_score: float) -> list[Boxes]:
        """Return what the network says of each picture."""
        ...


class Yolox:
    """YOLOX (Ge et al., 2021), exported without its decoding: ``(N, A, 5 + classes)``.

    As it was trained: the picture in the upper left corner, blue first, 0 to 255. A place has a
    detection for each class that is likely enough, as in COCO's evaluation.
    """

    confident: ClassVar[float] = 0.3
    _overlap = 0.65

    def __init__(self, network: Network) -> None:
        self._network = network
        self._sides = _sides(network)
        self.classes: int | None = _whole(network.outputs[0].shape[2]) - 5
        self.own_labels: tuple[str, ...] = ()
        self.background_first = False
        height, width = self._sides
        cells = [np.mgrid[: height // s, : width // s][::-1].reshape(2, -1).T for s in _STRIDES]
        self._cells = np.concatenate(cells).astype(np.float32)
        strides = [np.full((len(cell), 1), s) for cell, s in zip(cells, _STRIDES, strict=True)]
        self._strides = np.concatenate(strides).astype(np.float32)

    def find(self, pictures: Sequence[Pixels], least_score: float) -> list[Boxes]:
        """Return what the network says of each picture."""
        scales = [_fitting(picture, self._sides) for picture in pictures]
        blobs = [self._blob(one, scale) for one, scale in zip(pictures, scales, strict=True)]
        return [
            self._read(raw, scale, least_score)
            for raw, scale in zip(self._network.run_each(blobs), scales, strict=True)
        ]

    def _blob(self, picture: Pixels, scale: float) -> NDArray[np.float32]:
        height, width = (max(1, int(side * scale)) for side in picture.shape[:2])
        padded = np.full((*self._sides, 3), _PADDING, np.uint8)
        padded[:height, :width] = _resize(picture, (height, width))
        return _channels_first(padded[..., ::-1])

    def _read(self, raw: NDArray[np.float32], scale: float, least_score: float) -> Boxes:
        centres = (raw[:, :2] + self._cells) * self._strides
        sizes = np.exp(raw[:, 2:4]) * self._strides
        corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1) / scale
        scores = raw[:, 4:5] * raw[:, 5:]
        places, classes = np.nonzero(scores >= least_score)
        return suppress(
            Boxes(corners[places], scores[places, classes], classes), overlap=self._overlap
        )


class FastestDet:
    """FastestDet (Ma, 2022): ``(N, 5 + classes, rows, columns)``.

    As it was trained: squashed to the network's size, blue first, 0 to 1.
    """

    confident: ClassVar[float] = 0.65
    _overlap = 0.45

    def __init__(self, network: Network) -> None:
        self._network = network
        self._sides = _sides(network)
        self.classes: int | None = _whole(network.outputs[0].shape[1]) - 5
        self.own_labels: tuple[str, ...] = ()
        self.background_first = False

    def find(self, pictures: Sequence[Pixels], least_score: float) -> list[Boxes]:
        """Return what the network says of each picture."""
        blobs = [_squash(picture[..., ::-1], self._sides) for picture in pictures]
        return [
            self._read(raw, picture.shape, least_score)
            for raw, picture in zip(self._network.run_each(blobs), pictures, strict=True)
        ]

    def _read(self, raw: NDArray[np.float32], shape: tuple[int, ...], least_score: float) -> Boxes:
        height, width = shape[:2]
        num_rows, num_columns = raw.shape[1:]
        rows, columns = np.mgrid[:num_rows, :num_columns]
        x = (columns + np.tanh(raw[1])) / num_columns * width
        y = (rows + np.tanh(raw[2])) / num_rows * height
        w, h = width / (1 + np.exp(-raw[3])), height / (1 + np.exp(-raw[4]))
        corners = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1).reshape(-1, 4)
        scores = (raw[0] ** 0.6 * raw[5:].max(0) ** 0.4).reshape(-1)
        kept = scores >= least_score
        classes = raw[5:].argmax(0).reshape(-1)
        return suppress(
            Boxes(corners[kept].astype(np.float32), scores[kept], classes[kept]),
            overlap=self._overlap,
        )


class Ultralytics:
    """The export of ultralytics' detectors: ``(N, 4 + classes, A)``, or ``(N, 300, 6)``.

    The second form, of networks that suppress by themselves, has rows of corners, score and class.
    As they were trained: the picture in the middle of a grey square, 0 to 1.
    """

    confident: ClassVar[float] = 0.25
    _overlap = 0.7

    def __init__(self, network: Network) -> None:
        self._network = network
        self._sides = _sides(network)
        self._suppressed = network.outputs[0].shape[2] == 6
        self.own_labels = _names(network)
        self.background_first = False
        rows = network.outputs[0].shape[1]
        if self._suppressed or rows is None:
            self.classes: int | None = len(self.own_labels) or None
        else:
            self.classes = rows - 4

    def find(self, pictures: Sequence[Pixels], least_score: float) -> list[Boxes]:
        """Return what the network says of each picture."""
        frames = [_Frame.of(picture.shape, self._sides) for picture in pictures]
        blobs = [self._blob(one, frame) for one, frame in zip(pictures, frames, strict=True)]
        return [
            self._read(raw, frame, least_score)
            for raw, frame in zip(self._network.run_each(blobs), frames, strict=True)
        ]

    def _blob(self, picture: Pixels, frame: _Frame) -> NDArray[np.float32]:
        padded = np.full((*self._sides, 3), _PADDING, np.uint8)
        rows = slice(frame.top, frame.top + frame.height)
        columns = slice(frame.left, frame.left + frame.width)
        padded[rows, columns] = _resize(picture, (frame.height, frame.width))
        return _channels_first(padded) / np.float32(255)

    def _read(self, raw: NDArray[np.float32], frame: _Frame, least_score: float) -> Boxes:
        if self._suppressed:
            corners, scores, classes = raw[:, :4], raw[:, 4], raw[:, 5].astype(np.int64)
        else:
            centres, sizes = raw[:2].T, raw[2:4].T
            corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1)
            scores, classes = raw[4:].max(0), raw[4:].argmax(0)
        kept = scores >= least_score
        found = Boxes(frame.back(corners[kept]), scores[kept], classes[kept])
        return found if self._suppressed else suppress(found, overlap=self._overlap)


@dataclass(frozen=True)
class _Frame:
    """Where a picture lies in the middle of a network's input, in the input's pixels.

    Attributes:
        scale: by how much it was resized, across and down: each side was rounded.
    """

    height: int
    width: int
    top: int
    left: int
    scale: tuple[float, float]

    @classmethod
    def of(cls, shape: tuple[int, ...], sides: tuple[int, int]) -> _Frame:
        scale = min(one / side for one, side in zip(sides, shape[:2], strict=True))
        height, width = (max(1, round(side * scale)) for side in shape[:2])
        # As ultralytics rounds: the larger part of an odd margin goes below and to the right.
        top, left = (round((sides[0] - height) / 2 - 0.1), round((sides[1] - width) / 2 - 0.1))
        return cls(height, width, top, left, (width / shape[1], height / shape[0]))

    def back(self, corners: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return corners in the picture's own pixels."""
        margin = np.array([self.left, self.top] * 2, np.float32)
        moved: NDArray[np.float32] = (corners - margin) / np.array(self.scale * 2, np.float32)
        return moved


class BoxesLabelsScores:
    """Outputs ``boxes``, ``labels`` and ``scores``, decoded already, of torchvision or RT-DETR.

    torchvision's take ``(3, H, W)`` and number COCO's classes from 1 to 90. RT-DETR's take
    ``(N, 3, H, W)`` and the picture's own width and height as a second input, and number them from
    0 to 79. Both take red first, 0 to 1.
    """

    confident: ClassVar[float] = 0.5

    def __init__(self, network: Network) -> None:
        self._network = network
        names = [port.name for port in network.outputs]
        self._places = [names.index(name) for name in ("boxes", "labels", "scores")]
        self.classes: int | None = None
        self.own_labels = _names(network)
        self._knows_size = len(network.inputs) == 2
        self.background_first = not self._knows_size

    def find(self, pictures: Sequence[Pixels], least_score: float) -> list[Boxes]:
        """Return what the network says of each picture."""
        return [self._find(picture, least_score) for picture in pictures]

    def _find(self, picture: Pixels, least_score: float) -> Boxes:
        shape = self._network.inputs[0].shape
        height, width = picture.shape[:2]
        sides = (shape[-2] or height, shape[-1] or width)
        blob = _squash(picture, sides)
        values = [blob if len(shape) == 3 else blob[None]]
        if self._knows_size:
            values.append(np.array([[width, height]], np.int64))
        results = self._network.run(*values)
        boxes, labels, scores = (results[place] for place in self._places)
        back = 1.0 if self._knows_size else np.tile([width / sides[1], height / sides[0]], 2)
        kept = np.flatnonzero(scores.reshape(-1) >= least_score)
        return Boxes(
            (boxes.reshape(-1, 4) * back).astype(np.float32),
            scores.reshape(-1),
            labels.reshape(-1).astype(np.int64),
        ).take(kept)


def layout_of(network: Network) -> Layout:
    """Return the layout that a network's outputs have.

    Raises:
        BadWeights: none that is known.
    """
    shapes = [port.shape for port in network.outputs]
    if {"boxes", "labels", "scores"} <= {port.name for port in network.outputs}:
        return BoxesLabelsScores(network)
    if len(shapes) == 1 and len(network.inputs[0].shape) == 4:
        (shape,) = shapes
        # Where every size may vary, what the exporter wrote beside the network tells.
        if len(shape) == 3 and network.metadata.get("task") == "detect":
            return Ultralytics(network)
        if len(shape) == 4 and (shape[1] or 0) > 5:
            return FastestDet(network)
        if len(shape) == 3:
            places = sum(_sides(network)[0] // s * (_sides(network)[1] // s) for s in _STRIDES)
            if shape[2] == 6 and shape[1] != places:
                return Ultralytics(network)
            if shape[1] in (places, None) and (shape[2] or 0) > 5:
                return Yolox(network)
            if shape[2] in (places, None) and (shape[1] or 0) > 4:
                return Ultralytics(network)
    found = ", ".join(f"{port.name} {_text(port)}" for port in network.outputs)
    raise BadWeights(
        f"{network.path}: its outputs ({found}) are none of YOLOX's (N, A, 5 + classes), "
        "ultralytics' (N, 4 + classes, A) or (N, 300, 6), FastestDet's (N, 5 + classes, h, w), "
        "boxes, labels and scores, or a classifier's (N, classes)"
    )


def _text(port: Port) -> str:
    return "x".join("?" if side is None else str(side) for side in port.shape)


def _whole(side: int | None) -> int:
    if side is None:
        raise AssertionError("layout_of looks before")
    return side


def _sides(network: Network) -> tuple[int, int]:
    height, width = network.inputs[0].shape[2:]
    usual = _written(network, "imgsz", [_USUAL_SIDE, _USUAL_SIDE])
    return height or usual[0], width or usual[1]


def _fitting(picture: Pixels, sides: tuple[int, int]) -> float:
    return min(one / side for one, side in zip(sides, picture.shape[:2], strict=True))


def _squash(picture: Pixels, sides: tuple[int, int]) -> NDArray[np.float32]:
    return _channels_first(_resize(picture, sides)) / np.float32(255)


def _resize(picture: Pixels, sides: tuple[int, int]) -> Pixels:
    height, width = sides
    if picture.shape[:2] == sides:
        return picture
    resized = cv2.resize(
        np.ascontiguousarray(picture), (width, height), interpolation=cv2.INTER_LINEAR
    )
    return resized.astype(np.uint8, copy=False)


def _channels_first(picture: Pixels) -> NDArray[np.float32]:
    return np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32)


def _names(network: Network) -> tuple[str, ...]:
    """Return the names of the classes that ultralytics writes into its exports."""
    names = _written(network, "names", {})
    return tuple(str(name) for _, name in sorted(names.items()))


def _written(network: Network, key: str, otherwise: _Written) -> _Written:
    """Return what ultralytics wrote beside a network, as Python writes it; by default another.

    Raises:
        BadWeights: it is damaged.
    """
    text = network.metadata.get(key)
    if text is None:
        return otherwise
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise BadWeights(f"{network.path}: its {key} are damaged: {text[:80]!r}") from error
    if not isinstance(value, type(otherwise)):
        raise BadWeights(f"{network.path}: its {key} are damaged: {text[:80]!r}")
    return value
