"""Multi-Scale CLIP loss: how far the meanings of two pictures are apart (Eq. 4-7 of the paper)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional

from ugicm_training.instances.masks import InstanceMasks
from ugicm_training.pieces import Crops, Cut, Instances, Whole
from ugicm_training.teachers.protocol import Teacher

__all__ = ["MsClip", "MsClipTerms", "Term"]


class Term(Enum):
    """A scale at which meanings are compared; the paper's "Single" is GLOBAL alone."""

    GLOBAL = "global"
    LOCAL = "local"
    INSTANCE = "instance"


@dataclass(frozen=True)
class MsClipTerms:
    """Distances, ``(N,)`` float32 each, one per picture; zeros for a term that is off.

    Attributes:
        global_: of the whole pictures (Eq. 6), in [0, 2].
        local: of one random crop (Eq. 5), in [0, 2].
        instance: summed over the picture's instances (Eq. 4); 0 where it has none.
    """

    global_: Tensor
    local: Tensor
    instance: Tensor

    @property
    def total(self) -> Tensor:
        """The loss of each picture (Eq. 7), ``(N,)``."""
        return self.global_ + self.local + self.instance


class MsClip:
    """Compares reconstructions with their originals at several scales, in a teacher's space.

    The teacher is asked twice a call: for all pieces of the originals, which needs no gradient,
    and for all pieces of the reconstructions.

    Args:
        teacher: frozen.
        terms: the scales to compare at.
        local_share: side of the local crop as a share of the picture's shorter side, in (0, 1].
            The paper gives no size; half a side leaves a quarter of a square.

    Raises:
        ValueError: no terms, or a share out of its range.
    """

    def __init__(
        self,
        teacher: Teacher,
        *,
        terms: Collection[Term] = frozenset(Term),
        local_share: float = 0.5,
    ) -> None:
        if not terms:
            raise ValueError("MS-CLIP needs at least one term")
        if not 0.0 < local_share <= 1.0:
            raise ValueError(f"the local crop's share lies in (0, 1], got {local_share}")
        self._teacher = teacher
        self._terms = frozenset(terms)
        self._local_share = local_share

    def __call__(
        self,
        original: Tensor,
        reconstruction: Tensor,
        *,
        instances: InstanceMasks | None,
        generator: torch.Generator,
    ) -> MsClipTerms:
        """Return the distances; gradients reach ``reconstruction`` and nothing else.

        Args:
            original: ``(N, 3, H, W)`` in [0, 1].
            reconstruction: the same shape, nominally in [0, 1]; not clamped.
            instances: of the batch; None only where that term is off.
            generator: on the CPU; places the local crops.

        Raises:
            ValueError: shapes differ, or there are no instances for the term that needs them.
        """
        if original.shape != reconstruction.shape:
            raise ValueError(
                f"the original is {tuple(original.shape)}, "
                f"the reconstruction {tuple(reconstruction.shape)}"
            )
        cuts = self._cuts(original, instances, generator)
        distances = self._distances(original, reconstruction, list(cuts.values()))
        none = torch.zeros(original.shape[0], device=original.device)
        sums = dict.fromkeys(Term, none)
        for (term, cut), distance in zip(cuts.items(), distances, strict=True):
            sums[term] = none.index_add(0, cut.owner, distance)
        return MsClipTerms(
            global_=sums[Term.GLOBAL], local=sums[Term.LOCAL], instance=sums[Term.INSTANCE]
        )

    def _cuts(
        self, original: Tensor, instances: InstanceMasks | None, generator: torch.Generator
    ) -> dict[Term, Cut]:
        """Decide once what is cut out of both."""
        cuts: dict[Term, Cut] = {}
        if Term.GLOBAL in self._terms:
            cuts[Term.GLOBAL] = Whole.of(original)
        if Term.LOCAL in self._terms:
            cuts[Term.LOCAL] = Crops.draw(original, self._local_share, generator)
        if Term.INSTANCE in self._terms:
            if instances is None:
                raise ValueError("the instance term needs the instances of the batch")
            cuts[Term.INSTANCE] = Instances.of(original, instances)
        return cuts

    def _distances(
        self, original: Tensor, reconstruction: Tensor, cuts: list[Cut]
    ) -> tuple[Tensor, ...]:
        """Return 1 - cosine of the pieces of every cut, ``(P,)`` each."""
        counts = [len(cut.owner) for cut in cuts]
        if not any(counts):
            return tuple(torch.zeros(0, device=original.device) for _ in cuts)
        with torch.no_grad():
            target = self._embed(original, cuts)
        own = self._embed(reconstruction, cuts)
        # In float32 whatever the teacher computes in: a small difference of large numbers.
        cosine = functional.cosine_similarity(own.float(), target.float(), dim=1)
        distances: tuple[Tensor, ...] = (1.0 - cosine).split(counts)
        return distances

    def _embed(self, pictures: Tensor, cuts: list[Cut]) -> Tensor:
        return self._teacher.embed(torch.cat([cut.pieces(pictures, self._teacher) for cut in cuts]))
