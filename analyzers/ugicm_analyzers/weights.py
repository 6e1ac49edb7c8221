"""Weight files: which file it is, and what it holds."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from ugicm_analyzers.errors import AnalyzerUnavailable, BadWeights
from ugicm_analyzers.specification import Specification

__all__ = ["digest", "load_state", "one_line", "read_state", "version_of"]

_BYTES_AT_ONCE = 1 << 20


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        AnalyzerUnavailable: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AnalyzerUnavailable(
            f"weights {path} cannot be read ({error.strerror}): put the file there, or name another"
        ) from error


def version_of(
    specification: Specification,
    *libraries: ModuleType,
    weights: str,
    labels: tuple[str, ...] = (),
    preparation: str = "",
    revision: int = 1,
) -> str:
    """Return a text that changes whenever equal pixels may give other findings.

    Args:
        specification: all of it counts but its name and where the weights lie.
        libraries: the packages that compute.
        weights: their SHA-256.
        labels: of the network's classes.
        preparation: what the library does to pictures, where the weights decide it.
        revision: of the adapter; raised with every change of what it finds.
    """
    settings = msgspec.to_builtins(specification)
    for where in ("name", "weights", "labels", "minimum_score"):
        del settings[where]
    # The versions of analyzers on the CPU are those from before there was a choice.
    if settings["device"] == "cpu":
        del settings["device"]
    text = json.dumps([settings, labels, preparation], sort_keys=True)
    parts = [f"weights {weights[:16]}", f"settings {hashlib.sha256(text.encode()).hexdigest()[:8]}"]
    parts += [f"{library.__name__} {library.__version__}" for library in libraries]
    return f"{revision} ({', '.join(parts)})"


def read_state(path: Path) -> dict[str, Any]:
    """Return a network's tensors by name, from a safetensors file or one of PyTorch.

    Files of PyTorch are read with ``weights_only``: no code in them runs. Numbers of half
    precision become float32.

    Raises:
        AnalyzerUnavailable: the file cannot be read.
        BadWeights: it holds something else.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        digest(path)  # says why not
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise BadWeights(
            f"{path} holds no tensors ({one_line(error)}): get the file again"
        ) from error
    except OSError as error:
        raise AnalyzerUnavailable(f"weights {path} cannot be read ({error.strerror})") from error
    # Training scripts keep what else they need to go on beside the network's state.
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise BadWeights(f"{path} holds no state of a network: save its state_dict()")
    return {
        str(name): value.float() if value.is_floating_point() else value
        for name, value in state.items()
    }


def load_state(network: Any, state: Mapping[str, Any], *, path: Path, model: str) -> None:
    """Put tensors into a network; every one must have its place and its shape.

    Raises:
        BadWeights: they are of another network.
    """
    own = network.state_dict()
    # Batch normalisation counts its batches only since PyTorch 0.4.1, and only for training.
    missing = [name for name in own if name not in state and not name.endswith("_tracked")]
    unexpected = [name for name in state if name not in own]
    other = [name for name in own if name in state and state[name].shape != own[name].shape]
    reasons = [
        f"{len(names)} tensors are {what} (such as {names[0]})"
        for names, what in (
            (missing, "missing"),
            (unexpected, "unknown to it"),
            (other, "of another shape"),
        )
        if names
    ]
    if reasons:
        raise BadWeights(f"{path} holds no {model}: {', '.join(reasons)}")
    network.load_state_dict(state, strict=False)


def one_line(error: Exception) -> str:
    """Return the beginning of what a library says of its failure."""
    return " ".join(str(error).split())[:200] or type(error).__name__
