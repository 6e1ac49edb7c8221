"""CLIP itself, by way of open_clip: any of its models, weights by tag or from a file."""

from __future__ import annotations

import difflib
import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import open_clip
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ugicm_training.errors import MissingWeights, UnknownTeacher
from ugicm_training.teachers.protocol import Interpolation

__all__ = ["OpenClip"]

_log = logging.getLogger(__name__)

# What a model was trained with that its weights do not tell.
_UNTOLD = ("mean", "std", "interpolation", "quick_gelu")

# What a file that holds no weights of the model raises, inside PyTorch and open_clip.
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


@dataclass(frozen=True)
class _Weights:
    """Where weights are, and how their pictures were prepared."""

    tag: str | None
    file: Path | None
    settings: dict[str, Any]


class OpenClip:
    """The image tower of an open_clip model, frozen, behind ``Teacher``."""

    def __init__(self, model: nn.Module, description: str) -> None:
        self.network = model.eval().requires_grad_(False)
        settings = open_clip.get_model_preprocess_cfg(model)
        size = settings["size"]
        self.side: int = size if isinstance(size, int) else max(size)
        self.description = description
        self.interpolation = Interpolation(settings["interpolation"])
        red, green, blue = settings["mean"]
        self.mean_colour = (float(red), float(green), float(blue))
        device = next(model.parameters()).device
        self._mean = torch.tensor(settings["mean"], device=device)[:, None, None]
        self._deviation = torch.tensor(settings["std"], device=device)[:, None, None]

    @classmethod
    def load(
        cls, name: str, pretrained: str, device: torch.device, *, side: int | None = None
    ) -> OpenClip:
        """Load a model with weights.

        Args:
            name: as ``open_clip.list_models`` gives it.
            pretrained: a tag such as ``laion2b_s34b_b79k``, which open_clip downloads unless its
                cache has it; a file of weights, read without a network; or ``TAG=FILE``, which
                says of a file whose weights it holds. A file alone does not tell how pictures
                are normalised and which GELU it was trained with: where the model's tags differ
                in that, open_clip's defaults are taken, and a warning says so.
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
        weights = _find(name, pretrained)
        try:
            with _quiet():
                model = open_clip.create_model(
                    name,
                    pretrained=str(weights.file.resolve()) if weights.file else weights.tag,
                    require_pretrained=True,
                    force_quick_gelu=bool(weights.settings.get("quick_gelu")),
                    force_preprocess_cfg=weights.settings,
                    force_image_size=side,
                    device=device,
                )
        except _UNREADABLE as error:
            raise MissingWeights(_advice(name, weights, error)) from error
        named = [weights.tag, weights.file.name if weights.file else None]
        return cls(model, f"open_clip {name} ({', '.join(each for each in named if each)})")

    def embed(self, pictures: Tensor) -> Tensor:
        """Return CLIP's image embeddings, ``(N, D)`` float32; see ``Teacher``."""
        encode = cast(_Encoder, self.network).encode_image
        return encode((pictures - self._mean) / self._deviation).float()


def _find(name: str, pretrained: str) -> _Weights:
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained in tags:
        return _Weights(pretrained, None, _settings(name, pretrained))
    tag, _, file = pretrained.partition("=")
    if tag in tags and Path(file).is_file():
        return _Weights(tag, Path(file), _settings(name, tag))
    if Path(pretrained).is_file():
        return _Weights(None, Path(pretrained), _agreed_settings(name, tags))
    raise MissingWeights(
        f"{pretrained!r} is neither a file nor weights that open_clip knows for {name}: "
        f"give a file that was downloaded elsewhere, or one of {', '.join(tags) or '(none)'}"
    )


def _settings(name: str, tag: str) -> dict[str, Any]:
    known = open_clip.get_pretrained_cfg(name, tag)
    return {key: known[key] for key in _UNTOLD if key in known}


def _agreed_settings(name: str, tags: list[str]) -> dict[str, Any]:
    """Return what all weights of the model have in common, and warn of the rest."""
    every = [_settings(name, tag) for tag in tags]
    agreed = {
        key: every[0].get(key)
        for key in _UNTOLD
        if every and all(each.get(key) == every[0].get(key) for each in every)
    }
    unsure = [key for key in _UNTOLD if every and key not in agreed]
    if unsure:
        _log.warning(
            "weights of %s differ in %s: open_clip's default is taken; "
            "write TAG=FILE to say whose the file's are (%s)",
            name,
            " and ".join(unsure),
            ", ".join(tags),
        )
    return agreed


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from logging, through the root logger, what is raised as well."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _advice(name: str, weights: _Weights, error: Exception) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if weights.file:
        return f"{weights.file} holds no weights of {name}: {reason}"
    return (
        f"open_clip cannot load {weights.tag!r} of {name}: {reason}; without a network, give the "
        f"file of its weights (open_clip:{name}:{weights.tag}=FILE) or a stand-in "
        f"(ugicm-train teacher fit)"
    )
