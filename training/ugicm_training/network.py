"""The whole differentiable path of a step, as the module that the engine wraps."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from ugicm_training.model import Trainable
from ugicm_training.recipes import Trained

__all__ = ["Network"]


class Network(nn.Module):
    """Pictures to their reconstructions and bits.

    Args:
        model: whose parameters are this module's.
        trained: what gradients may change; without the encoder's, nothing of it is kept for them.
        precision: of the convolutions.
    """

    def __init__(self, model: Trainable, *, trained: Trained, precision: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self._trained = trained
        self._precision = precision

    def forward(self, pictures: Tensor, quality: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(N, 3, S, S)``, not clamped, and ``(N,)`` bits, both float32.

        Args:
            pictures: ``(N, 3, S, S)`` in [0, 1].
            quality: ``(N,)`` in [0, 1].
            view: ``(N,)`` in [0, 1]; better left on the CPU.
        """
        frozen = self._trained is not Trained.EVERYTHING
        with torch.no_grad() if frozen else contextlib.nullcontext():
            coded = self.model.encode(pictures, quality, precision=self._precision)
        reconstruction = self.model.synthesise(coded.y_hat, view, precision=self._precision)
        return reconstruction, coded.bits
