"""MLIC++'s entropy model in floating point: slice by slice, each half knowing all before it.

Training uses this; streams are coded with its fixed-point export.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ugicm_codec.entropy.mlicpp.coder import CONTEXT_SIDE
from ugicm_codec.models.backbone import Predicted
from ugicm_codec.models.mlicpp.checkerboard import at_anchors, at_nonanchors
from ugicm_codec.models.mlicpp.config import MlicppConfig
from ugicm_codec.models.mlicpp.global_context import GlobalInterContext, GlobalIntraContext
from ugicm_codec.models.mlicpp.local_context import LocalContext
from ugicm_codec.models.mlicpp.prediction import (
    ChannelContext,
    EntropyParameters,
    ResidualPrediction,
)

__all__ = ["ContextModel", "SliceContext"]


class SliceContext(nn.Module):
    """The networks of one slice; the first has no earlier slices to look at."""

    def __init__(self, config: MlicppConfig, index: int) -> None:
        super().__init__()
        m, s = config.latent_channels, config.slice_channels
        earlier = index * s
        self.local = LocalContext(s)
        self.inter: GlobalInterContext | None = None
        self.intra: GlobalIntraContext | None = None
        self.channel: ChannelContext | None = None
        if index > 0:
            self.inter = GlobalInterContext(earlier, index, 2 * s)
            self.intra = GlobalIntraContext(s)
            self.channel = ChannelContext(earlier, config.channel_widths, 4 * s)
        at_anchor = 2 * m + (6 * s if index else 0)
        at_nonanchor = at_anchor + (4 * s if index else 2 * s)
        widths = config.parameter_widths
        self.anchor_parameters = EntropyParameters(at_anchor, widths, 2 * s)
        self.nonanchor_parameters = EntropyParameters(at_nonanchor, widths, 2 * s)
        known = m + earlier + s
        self.anchor_residual = ResidualPrediction(known, config.residual_widths, s)
        self.nonanchor_residual = ResidualPrediction(known, config.residual_widths, s)

    def forward(self, y: Tensor, earlier: list[Tensor], hyper: Tensor) -> Predicted:
        """Predict and round one slice: its anchors, then, knowing them, the rest.

        Args:
            y: ``(N, C, h, w)``, this slice's scaled latents; gradients pass their rounding.
            earlier: the ``y_hat`` of the slices before.
            hyper: ``(N, 2 M, h, w)``, from ``h_s``; its second half goes into the residuals.
        """
        known = [hyper.chunk(2, dim=1)[1], *earlier]
        contexts = [hyper]
        if self.inter is not None and self.channel is not None:
            before = torch.cat(earlier, dim=1)
            contexts = [self.inter(before), self.channel(before), hyper]
        anchor_scales, anchor_means = self.anchor_parameters(torch.cat(contexts, dim=1)).chunk(2, 1)
        y_hat = at_anchors(_rounded(y - anchor_means) + anchor_means)
        y_hat = y_hat + at_anchors(self.anchor_residual(torch.cat([*known, y_hat], dim=1)))
        if self.intra is not None:
            contexts = [self.intra(earlier[-1], y_hat), *contexts]
        contexts = [self.local(y_hat), *contexts]
        scales, means = self.nonanchor_parameters(torch.cat(contexts, dim=1)).chunk(2, 1)
        y_hat = y_hat + at_nonanchors(_rounded(y - means) + means)
        y_hat = y_hat + at_nonanchors(self.nonanchor_residual(torch.cat([*known, y_hat], dim=1)))
        return Predicted(
            y_hat=y_hat,
            scales=at_anchors(anchor_scales) + at_nonanchors(scales),
            means=at_anchors(anchor_means) + at_nonanchors(means),
        )


class ContextModel(nn.Module):
    """All slices' networks."""

    def __init__(self, config: MlicppConfig) -> None:
        super().__init__()
        self.slices = nn.ModuleList(SliceContext(config, index) for index in range(config.slices))

    def forward(self, y: Tensor, hyper: Tensor) -> Predicted:
        """Predict and round all slices in order.

        Args:
            y: ``(N, M, h, w)``, scaled latents, of at most ``CONTEXT_SIDE`` along either side.
            hyper: ``(N, 2 M, h, w)``, from ``h_s``.

        Raises:
            ValueError: the picture is larger.
        """
        if max(y.shape[-2:]) > CONTEXT_SIDE:
            height, width = y.shape[-2:]
            raise ValueError(
                f"contexts see at most {CONTEXT_SIDE}x{CONTEXT_SIDE} latents, got {height}x{width}"
            )
        parts: list[Predicted] = []
        for context, part in zip(self.slices, y.chunk(len(self.slices), dim=1), strict=True):
            parts.append(context(part, [each.y_hat for each in parts], hyper))
        return Predicted(
            y_hat=torch.cat([each.y_hat for each in parts], dim=1),
            scales=torch.cat([each.scales for each in parts], dim=1),
            means=torch.cat([each.means for each in parts], dim=1),
        )


def _rounded(values: Tensor) -> Tensor:
    return values + (values.round() - values).detach()
