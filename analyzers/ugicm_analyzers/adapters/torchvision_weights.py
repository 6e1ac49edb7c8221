"""Open torchvision's networks: weights from a file, or fetched by torchvision itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

import torchvision_cpu
from ugicm_analyzers.errors import AnalyzerUnavailable, BadSpecification
from ugicm_analyzers.specification import Specification
from ugicm_analyzers.weights import digest, read_state

__all__ = ["Source", "build", "find_weights", "libraries"]

# Networks that ask for a random start to be spelled out, or that were trained on pixels of another
# normalisation and convert them: torchvision only does so by itself for its own files.
_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "googlenet": {"init_weights": False, "transform_input": True},
    "inception_v3": {"init_weights": False, "transform_input": True},
}


@dataclass(frozen=True)
class Source:
    """Where a network's weights come from.

    Attributes:
        path: the file, also where torchvision fetched it.
        sha256: of the file.
        state: its tensors by name.
        entry: what torchvision says of such weights: transforms and labels.
        is_own: whether they are the very ones that ``entry`` speaks of.
    """

    path: Path
    sha256: str
    state: Mapping[str, torch.Tensor]
    entry: Any
    is_own: bool


def find_weights(specification: Specification) -> Source:
    """Return the weights that a specification asks for; by default torchvision's best.

    Raises:
        BadSpecification: torchvision has no such network, or no weights of that name.
        AnalyzerUnavailable: the file cannot be read or fetched.
        BadWeights: it holds no tensors.
    """
    torchvision_cpu.ensure()
    from torchvision import models

    model, wanted = specification.model, specification.weights
    try:
        entries = models.get_model_weights(model)
    except ValueError as error:
        raise BadSpecification(
            f"{specification.name}: torchvision has no network called {model!r}"
        ) from error
    if "/" in wanted or "." in wanted:
        path = Path(wanted)
        # A file of torchvision's own goes with the transforms that it was trained for.
        own = next((one for one in entries if _name(one) == path.name), None)
        entry = entries.DEFAULT if own is None else own
        is_own = own is not None
    else:
        path, entry = _fetch(specification, entries)
        is_own = True
    sha256 = digest(path)
    return Source(path, sha256, read_state(path), entry, is_own)


def libraries() -> tuple[ModuleType, ...]:
    """Return what computes."""
    torchvision_cpu.ensure()
    import torchvision

    return torch, torchvision


def build(model: str, **arguments: Any) -> nn.Module:
    """Return torchvision's network of that name, which holds no weights of use yet."""
    from torchvision import models

    network: nn.Module = models.get_model(
        model, weights=None, **_ARGUMENTS.get(model, {}), **arguments
    )
    network.eval()
    return network


def _name(entry: Any) -> str:
    return str(entry.url).rpartition("/")[2]


def _fetch(specification: Specification, entries: Any) -> tuple[Path, Any]:
    wanted = specification.weights or "DEFAULT"
    if wanted not in entries.__members__:
        known = ", ".join(entries.__members__)
        raise BadSpecification(
            f"{specification.name}: torchvision's {specification.model} has the weights {known}, "
            f"got {wanted!r}"
        )
    entry = entries[wanted]
    path = Path(torch.hub.get_dir()) / "checkpoints" / _name(entry)
    if not path.is_file():
        try:
            entry.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:  # no network, or another file than expected
            raise AnalyzerUnavailable(
                f"{specification.name}: {entry.url} cannot be fetched ({error}): put it into "
                f"{path.parent}, or name a file (torchvision:{specification.model}:FILE)"
            ) from error
    return path, entry
