"""One step's figures, as people read them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ugicm_training.losses import LossTerms

__all__ = ["Measures"]


@dataclass(frozen=True)
class Measures:
    """Means over a batch; None where no picture of it has one.

    Attributes:
        loss: what is minimised.
        bits_per_pixel: estimated.
        psnr_human: dB, of pictures decoded for view 0.
        psnr_machine: dB, of pictures decoded for view 1.
        clip_global: MS-CLIP's global term.
        clip_local: its local term.
        clip_instance: its instance term, summed over a picture's instances.
    """

    loss: float
    bits_per_pixel: float
    psnr_human: float | None
    psnr_machine: float | None
    clip_global: float | None
    clip_local: float | None
    clip_instance: float | None

    @classmethod
    def of(cls, terms: LossTerms) -> Measures:
        """Read a step's figures; on a GPU, this waits for the step."""
        psnr = -10.0 * torch.log10(terms.squared_error.clamp(min=1e-10))
        semantic = terms.semantic
        return cls(
            loss=float(terms.total.detach()),
            bits_per_pixel=float(terms.bits_per_pixel.mean()),
            psnr_human=_mean(psnr[terms.view == 0.0]),
            psnr_machine=_mean(psnr[terms.view == 1.0]),
            clip_global=_mean(semantic.global_) if semantic else None,
            clip_local=_mean(semantic.local) if semantic else None,
            clip_instance=_mean(semantic.instance) if semantic else None,
        )

    def as_line(self) -> str:
        """Return the figures for a terminal."""
        parts = [f"loss {self.loss:.3f}", f"{self.bits_per_pixel:.3f} bpp"]
        for name, psnr in (("human", self.psnr_human), ("machine", self.psnr_machine)):
            if psnr is not None:
                parts.append(f"{name} {psnr:.2f} dB")
        clip = (self.clip_global, self.clip_local, self.clip_instance)
        if any(term is not None for term in clip):
            terms = "/".join("-" if term is None else f"{term:.3f}" for term in clip)
            parts.append(f"CLIP global/local/instance {terms}")
        return ", ".join(parts)


def _mean(values: Tensor | None) -> float | None:
    return None if values is None or len(values) == 0 else float(values.detach().mean())
