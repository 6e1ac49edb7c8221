"""Instances by a network of the Segment Anything family, through ultralytics."""

from __future__ import annotations

import importlib
import os
import pickle
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ugicm_training.errors import MissingPackage, MissingWeights
from ugicm_training.instances.protocol import Masks, Picture

__all__ = ["Family", "SegmentAnything"]


class Family(StrEnum):
    """Networks that find instances of any class; trained on masks without classes (SA-1B)."""

    FASTSAM = "FastSAM"
    SAM = "SAM"


@dataclass(frozen=True)
class SegmentAnything:
    """Everything that FastSAM, SAM, SAM 2 or MobileSAM finds in a picture, without prompts.

    ultralytics is licensed under AGPL-3.0; it is imported only when this is used.

    Attributes:
        family: of the weights.
        weights: a file, or the name of one that the library itself fetches into the working
            folder (``FastSAM-s.pt``, ``mobile_sam.pt``, ``sam2.1_b.pt``). It is a pickle: only load
            one that you trust.
        device: as PyTorch names it.
        side: pixels of the longer side that the network sees.
        confidence: that the network has at least in what is returned; FastSAM's own setting.
        most: instances returned for one picture, those it is surest of.
    """

    family: Family
    weights: Path
    device: str
    side: int = 1024
    confidence: float = 0.4
    most: int = 32

    @property
    def description(self) -> str:
        return (
            f"{self.family}, side {self.side}, confidence {self.confidence:g} ({self.weights.name})"
        )

    def check(self) -> None:
        """Load the network.

        Raises:
            MissingPackage: ultralytics is not installed.
            MissingWeights: the weights are missing, cannot be fetched, or are of another kind.
        """
        _load(self.family, self.weights)

    def segment(self, name: str, picture: Picture) -> Masks:
        """Return ``(K, H, W)``, K at most ``most``, the surest first."""
        network = _load(self.family, self.weights)
        (result,) = network(
            np.ascontiguousarray(picture[..., ::-1]),  # BGR, as OpenCV reads files
            device=self.device,
            imgsz=self.side,
            conf=self.confidence,
            retina_masks=True,  # masks at the picture's own size
            verbose=False,
        )
        if result.masks is None:
            return np.zeros((0, *picture.shape[:2]), np.bool_)
        surest = result.boxes.conf.argsort(descending=True)[: self.most]
        masks: Masks = result.masks.data[surest].bool().cpu().numpy()
        return masks


@cache
def _load(family: Family, weights: Path) -> Any:
    by_path = weights.exists()
    if not by_path and weights.parent != Path():
        raise MissingWeights(f"no weights at {weights}")
    if weights.suffix not in {".pt", ".pth"}:
        raise MissingWeights(f"{weights} is no file of weights (.pt)")
    _keep_quiet(offline=by_path)
    try:
        library = importlib.import_module("ultralytics")
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"{family} needs ultralytics (AGPL-3.0): pip install 'ugicm-training[masks]'"
        ) from error
    library.SETTINGS.update(sync=False)
    try:
        network = getattr(library, family.value)(str(weights))
    # What the library raises for a failed download, an unknown name, a file of another kind.
    except (
        *(OSError, RuntimeError, TypeError, ValueError, KeyError, AttributeError, AssertionError),
        *(NotImplementedError, EOFError, ModuleNotFoundError, pickle.UnpicklingError),
    ) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise MissingWeights(f"{weights} is no {family} that can be had: {lines[0]}") from error
    return network


def _keep_quiet(*, offline: bool) -> None:
    """Keep the library from installing packages, reporting usage and printing; before import."""
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    settings = {
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
        # Not the user's own settings for the library: one of them is changed here.
        "YOLO_CONFIG_DIR": str(cache_home / "ugicm" / "ultralytics"),
    }
    if offline:
        settings["YOLO_OFFLINE"] = "true"
    for name, value in settings.items():
        os.environ.setdefault(name, value)
