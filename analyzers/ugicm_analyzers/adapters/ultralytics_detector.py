"""The YOLO family through ultralytics, boxes and masks; AGPL-3.0, imported only where chosen."""

from __future__ import annotations

import importlib
import os
import pickle
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch

import torchvision_cpu
from ugicm_analyzers.detecting import MOST, Boxes, detections, same_sizes
from ugicm_analyzers.devices import torch_device
from ugicm_analyzers.errors import AnalyzerUnavailable, BadWeights
from ugicm_analyzers.labels import answerable, network_labels
from ugicm_analyzers.protocol import AnalyzerInfo, Findings, Pixels, Task
from ugicm_analyzers.specification import Specification
from ugicm_analyzers.weights import digest, one_line, version_of

__all__ = ["UltralyticsDetector"]

# The library's own, of what it shows.
_CONFIDENT = 0.25
_TASKS = ("detect", "segment")


class UltralyticsDetector:
    """A network of ultralytics that detects or segments instances (v3u to the newest).

    Pictures of one size share a batch. A picture alone and in a batch get the same findings but
    for float32's rounding. Weights are read without running code that is in them.
    """

    def __init__(self, specification: Specification) -> None:
        """Raise ``AnalyzerUnavailable`` or ``BadWeights`` where there is no such network."""
        torch_device(specification)  # says where there is none
        self._device = specification.device
        library, self._network, sha256 = _open(specification)
        names = self._network.names
        own = tuple(str(names[number]) for number in range(len(names)))
        self._labels = network_labels(specification, len(own), own=own)
        self._least_score = specification.least_score
        # A call keeps its state in the network's object.
        self._turn = threading.Lock()
        likely = specification.minimum_score
        self.info = AnalyzerInfo(
            name=specification.name,
            task=Task.DETECT,
            version=version_of(
                specification,
                torch,
                library,
                cv2,
                weights=sha256,
                labels=self._labels,
            ),
            labels=answerable(specification, self._labels),
            minimum_score=_CONFIDENT if likely is None else likely,
        )

    def load(self) -> None:
        """See that a picture passes through the network."""
        self.analyze([np.zeros((32, 32, 3), np.uint8)], ())

    def analyze(self, pictures: Sequence[Pixels], labels: Sequence[str]) -> list[Findings]:
        """Return the objects in each picture, at most 100."""
        found: dict[int, Boxes] = {}
        for group in same_sizes(pictures):
            # Blue first, as OpenCV reads files.
            batch = [np.ascontiguousarray(pictures[one][..., ::-1]) for one in group]
            with self._turn:
                results = self._network.predict(
                    batch,
                    conf=self._least_score,
                    max_det=MOST,
                    retina_masks=True,  # masks in the picture's own size
                    device=self._device,
                    verbose=False,
                    save=False,
                )
            found |= zip(group, map(_boxes, results), strict=True)
        return [
            detections(
                found[index],
                self._labels,
                answers=self.info.labels,
                least_score=self._least_score,
                picture=picture,
            )
            for index, picture in enumerate(pictures)
        ]


def _open(specification: Specification) -> tuple[ModuleType, Any, str]:
    # Read when the library is loaded. It neither asks the network, nor installs packages, nor runs
    # what a weight file holds beside numbers, unless the environment says so.
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("ULTRALYTICS_SAFE_LOAD", "true")
    torchvision_cpu.ensure()
    ultralytics = importlib.import_module("ultralytics")

    wanted = specification.weights
    if "/" in wanted:
        digest(Path(wanted))  # says why the file cannot be read
    try:
        network = ultralytics.YOLO(wanted)
        path = Path(network.ckpt_path or wanted)
    except (OSError, ConnectionError) as error:
        raise AnalyzerUnavailable(
            f"{specification.name}: {wanted} is not here, and ultralytics may not fetch it: set "
            "YOLO_OFFLINE=false, or name a file (ultralytics:./FILE)"
        ) from error
    except (
        AttributeError,
        EOFError,
        KeyError,
        ModuleNotFoundError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        raise BadWeights(f"{wanted} holds no network of ultralytics ({one_line(error)})") from error
    if network.task not in _TASKS:
        raise BadWeights(
            f"{wanted} holds a network for the task {network.task}; there are adapters for "
            f"{' and '.join(_TASKS)}"
        )
    return ultralytics, network, digest(path)


def _boxes(result: Any) -> Boxes:
    return Boxes(
        corners=result.boxes.xyxy.cpu().numpy(),
        scores=result.boxes.conf.cpu().numpy(),
        classes=result.boxes.cls.cpu().numpy().astype(np.int64),
        masks=None if result.masks is None else result.masks.data.cpu().numpy() > 0.5,
    )
