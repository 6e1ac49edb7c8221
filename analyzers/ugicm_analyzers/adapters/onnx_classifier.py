"""Classifiers exported to ONNX: one output ``(N, classes)``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from ugicm_analyzers.adapters.onnx_session import Network
from ugicm_analyzers.classifying import LIKELY, Classifier, transforms
from ugicm_analyzers.errors import BadSpecification
from ugicm_analyzers.labels import answerable, network_labels, specified_labels
from ugicm_analyzers.protocol import AnalyzerInfo, Pixels, Task
from ugicm_analyzers.specification import Preprocessing, Specification
from ugicm_analyzers.weights import version_of

__all__ = ["OnnxClassifier"]

_USUAL_SIDE = 224
# Of the shorter side, what the centre's side is: as ImageNet's classifiers are evaluated.
_CENTRE = 224 / 256


class OnnxClassifier(Classifier):
    """A classifier, with ImageNet's usual preprocessing unless another is specified.

    Networks that were exported for one picture at a time see one at a time: each finds the same
    alone and in a batch. Others do but for float32's rounding.
    """

    def __init__(self, specification: Specification, network: Network) -> None:
        """Raise ``BadWeights`` where labels do not fit, ``BadSpecification`` where sizes do not."""
        (_, count) = network.outputs[0].shape
        side = network.inputs[0].shape[2]
        usual = side or _USUAL_SIDE
        given = specification.preprocessing or Preprocessing(
            resize=round(usual / _CENTRE), crop=usual
        )
        if side not in (None, given.crop):
            raise BadSpecification(
                f"{specification.name}: {network.path} takes {side} pixels, got crop = {given.crop}"
            )
        self._network = network
        self._transforms = transforms(given)
        self._gives_probabilities = self._sums_to_one(given.crop)
        count = count or len(specified_labels(specification))
        self.classes = network_labels(specification, count)
        likely = specification.minimum_score
        self.info = AnalyzerInfo(
            name=specification.name,
            task=Task.CLASSIFY,
            version=version_of(
                specification,
                onnxruntime,
                torch,
                weights=network.sha256,
                labels=self.classes,
            ),
            labels=answerable(specification, self.classes),
            minimum_score=LIKELY if likely is None else likely,
        )

    def log_probabilities(
        self, pictures: Sequence[Pixels], labels: Sequence[str] = ()
    ) -> NDArray[np.float32]:
        """Return ``(pictures, classes)``, natural logarithms."""
        blobs = [
            self._transforms(torch.tensor(picture).permute(2, 0, 1)).numpy() for picture in pictures
        ]
        raw = torch.from_numpy(np.stack(self._network.run_each(blobs)))
        # The least normal number stands for 0, whose logarithm is no number.
        least = torch.finfo(torch.float32).tiny
        logarithms = raw.clamp(min=least).log() if self._gives_probabilities else raw.log_softmax(1)
        answer: NDArray[np.float32] = logarithms.numpy()
        return answer

    def _sums_to_one(self, side: int) -> bool:
        """Return whether the network ends in a softmax, which its graph's outputs do not show."""
        ramp = np.linspace(-1, 1, side * side, dtype=np.float32).reshape(1, side, side)
        (raw,) = self._network.run_each([np.repeat(ramp, 3, 0)])
        return bool(raw.min() >= 0.0 and abs(raw.sum() - 1.0) < 1e-3)
