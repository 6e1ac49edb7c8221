"""What a view decides of a synthesis: terms in its blocks (PCDM), and weights between two ends."""

from __future__ import annotations

from enum import StrEnum
from operator import attrgetter
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ugicm_codec.models.backbone import BackboneConfig

__all__ = ["Conditioned", "EmbeddingOutput", "ViewEmbedding", "ViewTerm"]


class EmbeddingOutput(StrEnum):
    """What becomes of a view's embedding before it is projected; its values stand in files."""

    LINEAR = "linear"
    # As in the published code. Trained from terms of zero here, all its outputs ended at zero.
    RECTIFIED = "rectified"


class ViewEmbedding(nn.Module):
    """Turn a view into the conditional feature ``f_view`` (Yin et al., AAAI 2025, two-layer MLP).

    The view enters with its sines and cosines at ``octaves`` frequencies, as in the published code.
    """

    def __init__(
        self, features: int, octaves: int, rule: EmbeddingOutput = EmbeddingOutput.LINEAR
    ) -> None:
        super().__init__()
        self.octaves = octaves
        self.rule = rule
        self.hidden = nn.Linear(1 + 2 * octaves, features)
        self.output = nn.Linear(features, features)

    def forward(self, view: Tensor) -> Tensor:
        """Embed the view of each picture.

        Args:
            view: ``(N,)``, in [0, 1]: 0 for human, 1 for machine.

        Returns:
            ``(N, features)``.
        """
        frequencies = 2.0 ** torch.arange(self.octaves, device=view.device, dtype=view.dtype)
        angles = view[:, None] * frequencies
        inputs = torch.cat([view[:, None], torch.sin(angles), torch.cos(angles)], dim=1)
        embedding: Tensor = self.output(functional.relu(self.hidden(inputs)))
        return functional.relu(embedding) if self.rule is EmbeddingOutput.RECTIFIED else embedding


class ViewTerm(nn.Linear):
    """Project ``f_view`` onto the channels of one synthesis block (``W_d`` in Eq. 8).

    Starts at zero, so that an untrained term leaves every view equal to the plain backbone.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__(features, channels, bias=False)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)

    def forward(self, embedding: Tensor) -> Tensor:
        """Return ``(N, C, 1, 1)``, the term added to every position of a block's features."""
        return super().forward(embedding)[:, :, None, None]


class Conditioned(nn.Module):
    """Makes the synthesis that it is mixed into one for every view.

    A view adds one vector per picture and place, so that one batch can mix views (Eq. 8). With two
    ends, a view also moves all weights on the line from the human to the machine end (Wang et al.,
    Deep Network Interpolation, CVPR 2019): one batch then has one view.

    Attributes:
        of_one_view: the class of a synthesis whose weights are for one view alone.
        machine: the machine end's weights, where it has its own.
    """

    of_one_view: ClassVar[Any]

    def __init__(
        self,
        config: BackboneConfig,
        term_channels: tuple[int, ...],
        rule: EmbeddingOutput = EmbeddingOutput.LINEAR,
    ) -> None:
        """Add to the synthesis of ``config`` terms of so many channels each."""
        super().__init__(config)
        self._config = config
        self._names = tuple(self.state_dict())
        self.embedding = ViewEmbedding(config.view_features, config.view_octaves, rule)
        self.view_terms = nn.ModuleList(
            [ViewTerm(config.view_features, channels) for channels in term_channels]
        )
        self.machine = self.of_one_view(config) if config.two_ended else None

    def terms(self, view: Tensor) -> list[Tensor]:
        """Return the view's terms in order, ``(N, C, 1, 1)`` each; ``view`` is ``(N,)``."""
        embedding = self.embedding(view)
        return [term(embedding) for term in self.view_terms]

    def weights(self, view: float) -> dict[str, Tensor]:
        """Return what a synthesis for the view has as its state; gradients reach the ends."""
        human = {name: attrgetter(name)(self) for name in self._names}
        # At an end, the other one takes part in no gradient.
        if self.machine is None or view == 0.0:
            return human
        machine = {name: attrgetter(name)(self.machine) for name in self._names}
        if view == 1.0:
            return machine
        return {name: torch.lerp(human[name], machine[name], view) for name in human}

    def at(self, view: float) -> Any:
        """Return a synthesis of its own for the view, for ``forward`` with the view's terms."""
        synthesis = self.of_one_view(self._config).requires_grad_(False)
        synthesis.load_state_dict(
            {name: value.detach() for name, value in self.weights(view).items()}
        )
        return synthesis
