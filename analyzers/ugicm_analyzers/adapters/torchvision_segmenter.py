"""torchvision's semantic segmentation: DeepLabv3, FCN and LR-ASPP."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ugicm_analyzers.adapters.torchvision_weights import build, find_weights, libraries
from ugicm_analyzers.detecting import same_sizes
from ugicm_analyzers.devices import torch_device
from ugicm_analyzers.errors import BadSpecification
from ugicm_analyzers.labels import answerable, specified_labels
from ugicm_analyzers.protocol import AnalyzerInfo, Pixels, Task
from ugicm_analyzers.segmenting import LabelMap, Segmenter, resize_map
from ugicm_analyzers.specification import Specification
from ugicm_analyzers.weights import load_state, version_of

__all__ = ["TorchvisionSegmenter"]

_MOST_CLASSES = 256  # a map holds them as uint8
# Layers that only help training.
_TRAINING_ONLY = "aux_classifier."


class TorchvisionSegmenter(Segmenter):
    """Any of ``torchvision.models.segmentation``, with the transforms that its weights come with.

    The map has the network's resolution (520 pixels the shorter side) and is resized to the
    picture's, to the nearest. Pictures of one size share a batch; alone and in a batch, pixels
    differ only where two classes are equally likely within float32's rounding.
    """

    def __init__(self, specification: Specification) -> None:
        """Open the network, with the errors of ``find_weights``, ``load_state`` and the labels."""
        self._device = torch_device(specification)
        source = find_weights(specification)
        self.classes = specified_labels(specification) or tuple(source.entry.meta["categories"])
        if len(self.classes) > _MOST_CLASSES:
            raise BadSpecification(
                f"{specification.name}: a segmenter has at most {_MOST_CLASSES} labels, "
                f"got {len(self.classes)}"
            )
        self._network = build(
            specification.model, weights_backbone=None, num_classes=len(self.classes)
        )
        state = {
            name: value
            for name, value in source.state.items()
            if not name.startswith(_TRAINING_ONLY)
        }
        load_state(self._network, state, path=source.path, model=specification.model)
        self._network.to(self._device)
        if specification.preprocessing is not None:
            raise BadSpecification(
                f"{specification.name}: preprocessing is a classifier's, and "
                f"{specification.model} is a segmenter"
            )
        self._transforms = source.entry.transforms()
        self.info = AnalyzerInfo(
            name=specification.name,
            task=Task.SEGMENT,
            version=version_of(
                specification,
                *libraries(),
                weights=source.sha256,
                labels=self.classes,
                preparation=repr(self._transforms),
            ),
            labels=answerable(specification, self.classes),
        )

    def label_maps(self, pictures: Sequence[Pixels]) -> list[LabelMap]:
        """Return the class of every pixel, in each picture's own size."""
        maps: dict[int, LabelMap] = {}
        for group in same_sizes(pictures):
            with torch.inference_mode():
                batch = torch.stack([self._prepare(pictures[one]) for one in group])
                areas = self._network(batch.to(self._device))["out"].argmax(1)
                found = areas.to(torch.uint8).cpu().numpy()
            height, width = pictures[group[0]].shape[:2]
            maps |= {
                one: resize_map(own, height, width) for one, own in zip(group, found, strict=True)
            }
        return [maps[index] for index in range(len(pictures))]

    def _prepare(self, picture: Pixels) -> torch.Tensor:
        prepared: torch.Tensor = self._transforms(torch.tensor(picture).permute(2, 0, 1))
        return prepared
