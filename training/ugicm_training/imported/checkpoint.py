"""Reads checkpoints of plain tensors, whoever wrote them."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from compressai.zoo.pretrained import load_pretrained
from torch import Tensor

from ugicm_training.errors import ForeignCheckpoint

__all__ = ["UNREADABLE", "State", "check_values", "read_state"]

_LARGEST_HALF = float(torch.finfo(torch.float16).max)

# What torch.load raises on files that are no checkpoints, and networks on other networks' states.
UNREADABLE = (
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True, eq=False)
class State:
    """What one checkpoint holds.

    Attributes:
        path: where it was read.
        sha256: of the file, in hexadecimal.
        tensors: by today's names of CompressAI's entropy models.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]


def read_state(path: Path) -> State:
    """Read a state dict, bare or under ``state_dict``, with nothing in it but tensors.

    Raises:
        ForeignCheckpoint: the file is no checkpoint, or holds objects.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ForeignCheckpoint(
            f"{path} is no checkpoint of plain tensors (weights_only refuses it)"
        ) from error
    except UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ForeignCheckpoint(f"{path} is no PyTorch checkpoint: {reason}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state or not _holds_tensors(state):
        raise ForeignCheckpoint(f"{path} holds no state dict of named tensors")
    return State(path, hashlib.sha256(data).hexdigest(), load_pretrained(state))


def check_values(tensors: Mapping[str, Tensor]) -> None:
    """Refuse what a model file cannot hold: half floats hold the transforms there.

    Raises:
        ValueError: a value is too large, or not a number.
    """
    for name, value in tensors.items():
        if value.is_floating_point() and not bool((value.abs() <= _LARGEST_HALF).all()):
            raise ValueError(f"{name} goes beyond {_LARGEST_HALF:.0f}, or is not a number")


def _holds_tensors(state: Mapping[Any, Any]) -> bool:
    return all(isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items())
