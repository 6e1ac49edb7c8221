"""Checkpoints packed small, in pieces, to be carried between machines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugicm_training.checkpoints import Checkpoint, parse_checkpoint
from ugicm_training.errors import BadCheckpoint
from ugicm_training.files import write_file

__all__ = ["PIECE_BYTES", "pack", "unpack"]

PIECE_BYTES = 16 * 2**20

_MANIFEST = "manifest.json"


def pack(checkpoint: Checkpoint, folder: Path) -> list[Path]:
    """Write a checkpoint's pieces, of at most ``PIECE_BYTES`` each, and a manifest, last of all.

    Weights become half floats. The optimiser's moments become bfloat16: squared gradients reach
    1e-12 and below, which half floats do not. Unpacked, both are float32 again.

    Returns:
        The files.
    """
    small = replace(
        checkpoint,
        model_state=_as(checkpoint.model_state, torch.float16),
        optimizer_state=_moments_as(checkpoint.optimizer_state, torch.bfloat16),
    )
    data = small.to_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES)]
    paths = [folder / f"piece-{number:03d}" for number in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        write_file(path, piece)
    manifest = {
        "recipe": checkpoint.recipe.name,
        "stage": checkpoint.position.stage,
        "step": checkpoint.position.step,
        "pieces": [
            {"name": path.name, "bytes": len(piece), "sha256": hashlib.sha256(piece).hexdigest()}
            for path, piece in zip(paths, pieces, strict=True)
        ],
    }
    path = folder / _MANIFEST
    write_file(path, json.dumps(manifest, indent=2).encode() + b"\n")
    return [*paths, path]


def unpack(folder: Path) -> Checkpoint:
    """Put a packed checkpoint together again.

    Raises:
        BadCheckpoint: the manifest or a piece is missing or damaged.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        data = b"".join(_piece(folder, entry) for entry in manifest["pieces"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(f"{folder} holds no packed checkpoint: {error}") from error
    small = parse_checkpoint(data, str(folder))
    return replace(
        small,
        model_state=_as(small.model_state, torch.float32),
        optimizer_state=_moments_as(small.optimizer_state, torch.float32),
    )


def _piece(folder: Path, entry: Mapping[str, Any]) -> bytes:
    # The name alone: a manifest from elsewhere points nowhere else.
    path = folder / Path(entry["name"]).name
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise ValueError(f"{path.name} is damaged")
    return data


def _as(tensors: Mapping[str, Tensor], precision: torch.dtype) -> dict[str, Tensor]:
    return {name: _rounded(value, precision) for name, value in tensors.items()}


def _moments_as(
    optimizer: Mapping[str, Any] | None, precision: torch.dtype
) -> dict[str, Any] | None:
    if optimizer is None:
        return None
    state = {
        index: {
            # Adam counts its steps in a float, which bfloat16 would round from 257 on.
            name: value if name == "step" else _rounded(value, precision)
            for name, value in of_one.items()
        }
        for index, of_one in optimizer["state"].items()
    }
    return {**optimizer, "state": state}


def _rounded(value: Tensor, precision: torch.dtype) -> Tensor:
    return value.to(precision) if value.is_floating_point() else value
