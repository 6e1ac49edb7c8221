"""The float MLIC++ as it is trained."""

from __future__ import annotations

import torch
from torch import Tensor

from ugicm_codec.models.backbone import Predicted
from ugicm_codec.models.mlicpp.config import MlicppConfig
from ugicm_codec.models.mlicpp.context import ContextModel
from ugicm_codec.models.mlicpp.transforms import (
    Analysis,
    ConditionalSynthesis,
    HyperAnalysis,
    HyperSynthesis,
)
from ugicm_training.model import Trainable, Transforms

__all__ = ["TrainableMlicpp"]


class TrainableMlicpp(Trainable):
    """MLIC++ as it is trained: its contexts see rounded latents, its rate noisy ones."""

    config: MlicppConfig
    h_s: HyperSynthesis

    def __init__(self, config: MlicppConfig, *, knots: int, lambdas: tuple[float, float]) -> None:
        super().__init__(config, knots=knots, lambdas=lambdas)
        self.context = ContextModel(config)

    def transforms(self, config: MlicppConfig) -> Transforms:
        return Transforms(
            g_a=Analysis(config),
            g_s=ConditionalSynthesis(config),
            h_a=HyperAnalysis(config),
            h_s=HyperSynthesis(config),
        )

    def predict(self, y: Tensor, hyper: Tensor, *, precision: torch.dtype) -> Predicted:
        """As ``Trainable.predict``; in less than float32, rounding would move what is decoded."""
        return self.context(y, hyper[..., : y.shape[2], : y.shape[3]].float())  # type: ignore[no-any-return]
