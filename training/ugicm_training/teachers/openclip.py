"""CLIP itself, by way of open_clip: any of its models, weights by tag or from a file."""

from __future__ import annotations

import difflib
import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast

import open_clip
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ugicm_training.errors import MissingWeights, UnknownTeacher
from ugicm_training.teachers.protocol import Interpolation

__all__ = ["OpenClip"]

# What reading a file that holds no weights of the model raises, inside PyTorch and open_clip.
_UNREADABLE = (
    AttributeError,
    EOFError,
    KeyError,
    IndexError,
    OSError,
    RuntimeError,
    SafetensorError,
    StopIteration,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


class _Encoder(Protocol):
    def encode_image(self, image: Tensor) -> Tensor: ...


class OpenClip:
    """The image tower of an open_clip model, frozen, behind ``Teacher``."""

    def __init__(self, model: nn.Module, description: str) -> None:
        self._encode = cast(_Encoder, model.eval().requires_grad_(False)).encode_image
        config = open_clip.get_model_preprocess_cfg(model)
        size = config["size"]
        self.side: int = size if isinstance(size, int) else max(size)
        self.description = description
        self.interpolation = Interpolation(config["interpolation"])
        red, green, blue = config["mean"]
        self.mean_colour = (float(red), float(green), float(blue))
        device = next(model.parameters()).device
        self._mean = torch.tensor(config["mean"], device=device)[:, None, None]
        self._deviation = torch.tensor(config["std"], device=device)[:, None, None]

    @classmethod
    def load(
        cls, name: str, pretrained: str, device: torch.device, *, side: int | None = None
    ) -> OpenClip:
        """Load a model with weights.

        Args:
            name: as ``open_clip.list_models`` gives it. OpenAI's own weights from a file need a
                name that ends in -quickgelu, since a file does not tell its activation.
            pretrained: a file of weights, which is read without a network, or a tag such as
                ``laion2b_s34b_b79k``, which open_clip downloads unless its cache has it.
            device: to put it on.
            side: other than the model's own; its position embedding is resampled.

        Raises:
            UnknownTeacher: open_clip has no such model.
            MissingWeights: no such file or tag, the download failed, or the weights are another
                model's.
        """
        if name not in open_clip.list_models():
            close = ", ".join(difflib.get_close_matches(name, open_clip.list_models())) or "none"
            raise UnknownTeacher(f"open_clip has no model {name!r}; names like it: {close}")
        tags = open_clip.list_pretrained_tags_by_model(name)
        from_file = Path(pretrained).is_file()
        if not from_file and pretrained not in tags:
            raise MissingWeights(
                f"{pretrained!r} is neither a file nor weights that open_clip knows for {name}: "
                f"download them elsewhere and give the file, or name one of "
                f"{', '.join(tags) or '(none)'}"
            )
        try:
            with _quiet():
                model = open_clip.create_model(
                    name,
                    pretrained=str(Path(pretrained).resolve()) if from_file else pretrained,
                    require_pretrained=True,
                    force_image_size=side,
                    device=device,
                )
        except _UNREADABLE as error:
            raise MissingWeights(_advice(name, pretrained, error, from_file=from_file)) from error
        source = Path(pretrained).name if from_file else pretrained
        return cls(model, f"open_clip {name} ({source})")

    def embed(self, pictures: Tensor) -> Tensor:
        """Return CLIP's image embeddings, ``(N, D)`` float32; see ``Teacher``."""
        vectors: Tensor = self._encode((pictures - self._mean) / self._deviation)
        return vectors.float()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from logging, through the root logger, what is raised as well."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _advice(name: str, pretrained: str, error: Exception, *, from_file: bool) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if from_file:
        return f"{pretrained} holds no weights of {name}: {reason}"
    return (
        f"open_clip cannot load {pretrained!r} of {name}: {reason}; without a network, give the "
        f"file of its weights (open_clip:{name}:FILE), or a stand-in (ugicm-train teacher fit)"
    )
