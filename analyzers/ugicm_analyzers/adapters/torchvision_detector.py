"""torchvision's detectors, with masks where the network knows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from ugicm_analyzers.adapters.torchvision_weights import Source, build, find_weights, libraries
from ugicm_analyzers.detecting import Boxes, detections, same_sizes
from ugicm_analyzers.devices import torch_device
from ugicm_analyzers.labels import BACKGROUND, answerable, network_labels, specified_labels
from ugicm_analyzers.protocol import AnalyzerInfo, Findings, Pixels, Task
from ugicm_analyzers.specification import Specification
from ugicm_analyzers.weights import load_state, version_of

__all__ = ["TorchvisionDetector"]

# The score from which torchvision's own examples show a detection, and draw a mask's pixel.
_CONFIDENT = 0.5
_MASKED = 0.5

# Networks whose weights were ported from another library, without the 1e-5 that PyTorch adds to
# variances. torchvision sets that right for its own files only.
_PORTED = frozenset(
    {
        "fasterrcnn_resnet50_fpn",
        "keypointrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn",
        "retinanet_resnet50_fpn",
    }
)
# Those that torchvision, when it opens them itself, gives normalisation that rounds in its own way.
_FROZEN = _PORTED | {
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fcos_resnet50_fpn",
}


class TorchvisionDetector:
    """Any of ``torchvision.models.detection``.

    Pictures of one size share a batch. A picture alone and in a batch get the same findings but
    for float32's rounding.
    """

    def __init__(self, specification: Specification) -> None:
        """Open the network, with the errors of ``find_weights``, ``load_state`` and the labels."""
        self._device = torch_device(specification)
        source = find_weights(specification)
        given = specified_labels(specification)
        own = (BACKGROUND, *given) if given else tuple(source.entry.meta["categories"])
        self._labels = own if given else network_labels(specification, len(own), own=own)
        self._least_score = specification.least_score
        self._network = _open(specification, source, num_classes=len(own)).to(self._device)
        likely = specification.minimum_score
        self.info = AnalyzerInfo(
            name=specification.name,
            task=Task.DETECT,
            version=version_of(
                specification, *libraries(), weights=source.sha256, labels=self._labels
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
            batch = [
                torch.tensor(pictures[one]).permute(2, 0, 1).to(self._device).float() / 255.0
                for one in group
            ]
            with torch.inference_mode():
                results = self._network(batch)
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


def _open(specification: Specification, source: Source, *, num_classes: int) -> nn.Module:
    model = specification.model
    network = build(model, weights_backbone=None, num_classes=num_classes)
    load_state(network, source.state, path=source.path, model=model)
    # Those of two stages keep it in their second.
    suppressing = getattr(network, "roi_heads", network)
    suppressing.score_thresh = specification.least_score
    if model in _FROZEN:
        ported = model in _PORTED and source.is_own and source.entry.name == "COCO_V1"
        _freeze(network, eps=0.0 if ported else 1e-5)
    return network


def _freeze(network: nn.Module, *, eps: float) -> None:
    from torchvision.ops import FrozenBatchNorm2d

    for name, module in network.named_children():
        if isinstance(module, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(module.num_features, eps=eps)
            frozen.load_state_dict(module.state_dict())
            setattr(network, name, frozen)
        else:
            _freeze(module, eps=eps)


def _boxes(result: dict[str, torch.Tensor]) -> Boxes:
    masks = result.get("masks")
    return Boxes(
        corners=result["boxes"].cpu().numpy(),
        scores=result["scores"].cpu().numpy(),
        classes=result["labels"].cpu().numpy(),
        masks=None if masks is None else (masks[:, 0] > _MASKED).cpu().numpy(),
    )
