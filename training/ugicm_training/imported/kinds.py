"""Recognises whose checkpoint a file is by the names in it, and imports it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ugicm_training.errors import ForeignCheckpoint
from ugicm_training.imported.checkpoint import read_state
from ugicm_training.imported.compressai import from_compressai, network_of
from ugicm_training.imported.mlicpp import Views, from_mlicpp
from ugicm_training.model import Trainable

__all__ = ["Imported", "Kind", "import_checkpoint"]


class Kind(Enum):
    """What is imported; the values stand in training records."""

    COMPRESSAI = "CompressAI bmshj2018-hyperprior checkpoint"
    MLICPP = "MLIC++ checkpoint"
    UGICM = "UG-ICM checkpoint on MLIC++"


@dataclass(frozen=True)
class Imported:
    """A published codec, as a model to train and to export.

    Attributes:
        model: of one quality.
        kind: of the checkpoint.
        record: what a model file's training record says of it.
    """

    model: Trainable
    kind: Kind
    record: dict[str, Any]


def import_checkpoint(path: Path, distortion_weight: float) -> Imported:
    """Read a checkpoint of any kind that is known.

    Args:
        distortion_weight: lambda, which checkpoints do not say; for training further.

    Raises:
        ForeignCheckpoint: the file is no checkpoint, of no known kind, or does not fit its kind.
        OSError: it cannot be read.
    """
    state = read_state(path)
    kind = _kind(state.tensors)
    if kind is None:
        known = ", ".join(each.value for each in Kind)
        first = ", ".join(sorted({name.partition(".")[0] for name in state.tensors})[:8])
        raise ForeignCheckpoint(f"{path} is none of these: {known}; it holds {first}")
    model: Trainable
    if kind is Kind.COMPRESSAI:
        model = from_compressai(network_of(state), distortion_weight)
    else:
        views = Views.ALL if kind is Kind.UGICM else Views.ONE
        model = from_mlicpp(state, views, distortion_weight)
    record = {
        "lambdas": [distortion_weight, distortion_weight],
        "imported": {"from": kind.value, "name": path.name, "sha256": state.sha256},
    }
    return Imported(model, kind, record)


def _kind(names: Iterable[str]) -> Kind | None:
    parts = {name.partition(".")[0] for name in names}
    if not {"g_a", "g_s", "h_a", "h_s", "entropy_bottleneck"} <= parts:
        return None
    if "global_cond" in parts:
        return Kind.UGICM
    return Kind.MLICPP if "local_context" in parts else Kind.COMPRESSAI
