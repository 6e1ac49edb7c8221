"""torchvision's classifiers of ImageNet's 1,000 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional

import torchvision_cpu
from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.errors import BadJudge
from ugicm_evaluation.judges.protocol import file_hash

__all__ = ["TorchvisionClassifier"]

_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
_DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class TorchvisionClassifier:
    """A torchvision architecture with weights from a file; answers ``(classes,)`` float32.

    The answer holds natural logarithms of probabilities. The picture's short side is resized to
    ``side * 256 / 224``, as torchvision's own evaluation does, and its centre cut out.
    """

    def __init__(self, architecture: str, weights: Path, *, side: int = 224) -> None:
        """Raise ``BadJudge`` where the architecture or its weights cannot be had."""
        torchvision_cpu.ensure()
        from torchvision import models

        self.name = architecture
        self.weights_hash = file_hash(weights)
        self._side = side
        try:
            self._network = models.get_model(architecture, weights=None)
            state = {name: value.float() for name, value in load_file(weights).items()}
            self._network.load_state_dict(state)
        except (ValueError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise BadJudge(f"{weights} holds no {architecture}: {reason}") from error
        self._network.eval()

    def look(self, picture: Picture) -> NDArray[np.float32]:
        whole = torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255.0
        scale = self._side * 256 / 224 / min(whole.shape[1:])
        height, width = (max(self._side, round(side * scale)) for side in whole.shape[1:])
        resized = functional.interpolate(
            whole[None], (height, width), mode="bilinear", antialias=True
        )[0]
        top, left = (height - self._side) // 2, (width - self._side) // 2
        centre = resized[:, top : top + self._side, left : left + self._side]
        with torch.inference_mode():
            logits = self._network(((centre - _MEAN) / _DEVIATION)[None])[0]
        answer: NDArray[np.float32] = functional.log_softmax(logits, 0).numpy()
        return answer
