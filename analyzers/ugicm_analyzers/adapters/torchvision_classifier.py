"""torchvision's classifiers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ugicm_analyzers.adapters.torchvision_weights import build, find_weights, libraries
from ugicm_analyzers.classifying import LIKELY, Classifier, transforms
from ugicm_analyzers.devices import torch_device
from ugicm_analyzers.labels import answerable, network_labels, specified_labels
from ugicm_analyzers.protocol import AnalyzerInfo, Pixels, Task
from ugicm_analyzers.specification import Specification
from ugicm_analyzers.weights import load_state, version_of

__all__ = ["TorchvisionClassifier"]


class TorchvisionClassifier(Classifier):
    """Any of ``torchvision.models``, with the transforms that its weights come with.

    A picture alone and in a batch get the same probabilities but for float32's rounding.
    """

    def __init__(self, specification: Specification) -> None:
        """Open the network, with the errors of ``find_weights``, ``load_state`` and the labels."""
        self._device = torch_device(specification)
        source = find_weights(specification)
        own = tuple(source.entry.meta["categories"])
        count = len(specified_labels(specification) or own)
        self.classes = network_labels(specification, count, own=own)
        self._network = build(specification.model, num_classes=count)
        load_state(self._network, source.state, path=source.path, model=specification.model)
        self._network.to(self._device)
        given = specification.preprocessing
        self._transforms = source.entry.transforms() if given is None else transforms(given)
        likely = specification.minimum_score
        self.info = AnalyzerInfo(
            name=specification.name,
            task=Task.CLASSIFY,
            version=version_of(
                specification,
                *libraries(),
                weights=source.sha256,
                labels=self.classes,
                preparation=repr(self._transforms),
            ),
            labels=answerable(specification, self.classes),
            minimum_score=LIKELY if likely is None else likely,
        )

    def log_probabilities(
        self, pictures: Sequence[Pixels], labels: Sequence[str] = ()
    ) -> NDArray[np.float32]:
        """Return ``(pictures, classes)``, natural logarithms."""
        with torch.inference_mode():
            batch = torch.stack(
                [self._transforms(torch.tensor(one).permute(2, 0, 1)) for one in pictures]
            )
            answer: NDArray[np.float32] = (
                self._network(batch.to(self._device)).log_softmax(1).cpu().numpy()
            )
        return answer
