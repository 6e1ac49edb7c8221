"""Checkpoints: all that a run needs to go on, in one file that is whole or absent."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from ugicm_training.backbones import config_from_json, new_model
from ugicm_training.errors import BadCheckpoint, CheckpointNotWritten
from ugicm_training.files import write_file
from ugicm_training.model import Trainable
from ugicm_training.recipes import Recipe

__all__ = [
    "Checkpoint",
    "Inputs",
    "Position",
    "read_checkpoint",
    "recipe_as_json",
    "recipe_from_json",
]

_FORMAT = "ugicm-checkpoint"
_VERSION = 1

# What torch.load and a state of another form raise.
_UNREADABLE = (
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Position:
    """Where a run is: the stage at work, and its steps that are done."""

    stage: int
    step: int


@dataclass(frozen=True)
class Inputs:
    """What a run was given; paths are where it found them.

    Attributes:
        photos: folder or shard.
        storage: of the pictures.
        digest: of the set of pictures.
        teacher: how the teacher was named, or None.
        teacher_description: what it calls itself.
        masks: file of instance masks, or None.
        masks_description: who made them, and of how many pictures.
    """

    photos: str
    storage: str
    digest: str
    teacher: str | None
    teacher_description: str | None
    masks: str | None
    masks_description: str | None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One moment of a run.

    Attributes:
        recipe: whole.
        position: of the next step.
        model_state: parameters by name, float32.
        optimizer_state: of the stage at work; None between stages.
        inputs: of the run.
        record: the training record that stands in exported models, JSON.
        base: tensors of the model file that the run started from, if it did.
    """

    recipe: Recipe
    position: Position
    model_state: Mapping[str, Tensor]
    optimizer_state: Mapping[str, Any] | None
    inputs: Inputs
    record: dict[str, Any]
    base: Mapping[str, Tensor] | None

    def model(self) -> Trainable:
        """Return the model, on the CPU, for evaluation.

        Raises:
            BadCheckpoint: the parameters are another network's.
        """
        recipe = self.recipe
        with torch.random.fork_rng(devices=[]):
            model = new_model(recipe.config, knots=recipe.knots, lambdas=recipe.lambdas)
        try:
            model.load_state_dict(dict(self.model_state))
        except RuntimeError as error:
            raise BadCheckpoint(f"parameters of another network: {_reason(error)}") from error
        return model.eval()

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        state = {
            "format": _FORMAT,
            "version": _VERSION,
            "recipe": recipe_as_json(self.recipe),
            "position": asdict(self.position),
            "model": dict(self.model_state),
            "optimizer": self.optimizer_state,
            "inputs": asdict(self.inputs),
            "record": self.record,
            "base": None if self.base is None else dict(self.base),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return buffer.getvalue()

    def write(self, path: Path) -> None:
        """Replace the file at once.

        Raises:
            CheckpointNotWritten: the disk is full, or writing is not allowed; an old file stays.
        """
        try:
            write_file(path, self.to_bytes())
        except OSError as error:
            kept = "; the old one stays" if path.exists() else ""
            raise CheckpointNotWritten(
                f"checkpoint {path} cannot be written: {error.strerror}{kept}"
            ) from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, onto the CPU.

    Raises:
        BadCheckpoint: there is none, it is damaged, or of another version.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadCheckpoint(f"{path} cannot be read: {error.strerror}") from error
    return parse_checkpoint(data, str(path))


def parse_checkpoint(data: bytes, name: str) -> Checkpoint:
    """Read a checkpoint's bytes; ``name`` stands in errors.

    Raises:
        BadCheckpoint: as ``read_checkpoint``.
    """
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if state["format"] != _FORMAT:
            raise ValueError(f"its format is {state['format']!r}")
        if state["version"] != _VERSION:
            raise BadCheckpoint(
                f"{name} has checkpoint version {state['version']}, this release reads {_VERSION}"
            )
        return Checkpoint(
            recipe=recipe_from_json(state["recipe"]),
            position=Position(**state["position"]),
            model_state=state["model"],
            optimizer_state=state["optimizer"],
            inputs=Inputs(**state["inputs"]),
            record=state["record"],
            base=state["base"],
        )
    except pickle.UnpicklingError as error:
        # PyTorch's own message advises to run what the file holds.
        raise BadCheckpoint(f"{name} is no checkpoint of plain tensors") from error
    except _UNREADABLE as error:
        raise BadCheckpoint(f"{name} is no checkpoint: {_reason(error)}") from error


def recipe_as_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as it stands in checkpoints and training records."""
    json: dict[str, Any] = msgspec.to_builtins(recipe)
    return json


def recipe_from_json(json: Mapping[str, Any]) -> Recipe:
    """Return the recipe of ``recipe_as_json``.

    Raises:
        ValueError: a field is missing, or of another type.
    """
    recipe: Recipe = msgspec.convert(json, Recipe)
    return replace(recipe, config=config_from_json(json["config"]))


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
