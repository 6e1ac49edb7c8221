"""One sitting of training: from a checkpoint to the next, on the devices at hand."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click
import torch
from lightning_fabric import Fabric
from rich.console import Console

from ugicm_codec.memory import keep_freed_memory
from ugicm_training.checkpoints import Checkpoint, Inputs
from ugicm_training.commands.options import PATH
from ugicm_training.data import PictureSource, Storage, open_pictures
from ugicm_training.engine import Precision, make_fabric
from ugicm_training.instances.store import MaskStore
from ugicm_training.progress import display_on
from ugicm_training.recipes import Recipe
from ugicm_training.teachers.opening import open_teacher
from ugicm_training.teachers.protocol import Teacher
from ugicm_training.trainer import Execution, Trainer

__all__ = ["Opened", "Sitting", "sitting_options"]

# After the step at work, and with a checkpoint.
_STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Opened:
    """What a run is given, opened."""

    pictures: PictureSource
    teacher: Teacher | None
    masks: MaskStore | None
    inputs: Inputs


@dataclass(frozen=True)
class Sitting:
    """How to train this time; none of it belongs to the recipe.

    Attributes:
        device: as ``make_fabric`` takes it.
        devices: how many.
        precision: of the convolutions.
        execution: of the networks.
        threads: of the CPU; None leaves the choice to PyTorch.
        workers: that decode pictures which stay on disk.
        minutes: after which training stops with a checkpoint.
        logs: folder for TensorBoard; None is beside the checkpoint.
    """

    device: str
    devices: int
    precision: Precision
    execution: Execution
    threads: int | None
    workers: int
    minutes: float
    logs: Path | None

    def launch(self) -> Fabric:
        """Return the engine; with several devices, one process of each returns."""
        keep_freed_memory()
        if self.threads:
            torch.set_num_threads(self.threads)
        fabric = make_fabric(self.device, self.devices)
        fabric.launch()
        return fabric

    def open(
        self,
        fabric: Fabric,
        recipe: Recipe,
        *,
        photos: Path,
        storage: Storage,
        teacher: str | None,
        masks: Path | None,
    ) -> Opened:
        """Open what the recipe is trained with."""
        loaded = open_teacher(teacher, fabric.device, side=recipe.teacher_side) if teacher else None
        store = MaskStore.open(masks) if masks else None
        pictures = open_pictures(
            photos,
            storage,
            minimum_side=recipe.minimum_side,
            held_out=recipe.held_out,
            device=fabric.device,
            workers=self.workers,
        )
        inputs = Inputs(
            photos=str(photos.resolve()),
            storage=storage.value,
            digest=pictures.digest,
            teacher=teacher,
            teacher_description=loaded.description if loaded else None,
            masks=str(masks.resolve()) if masks else None,
            masks_description=f"{store.segmenter}, {len(store)} pictures" if store else None,
        )
        return Opened(pictures, loaded, store, inputs)

    def train(self, fabric: Fabric, start: Checkpoint, opened: Opened, path: Path) -> None:
        """Train until the recipe is done, the time is up, or a signal asks to stop."""
        trainer = Trainer(
            start,
            path,
            fabric=fabric,
            pictures=opened.pictures,
            teacher=opened.teacher,
            masks=opened.masks,
            precision=self.precision,
            execution=self.execution,
            logs=self.logs or path.with_name(path.name + ".logs"),
            display=display_on(Console(stderr=True)),
            seconds=60.0 * self.minutes,
        )

        def stop(number: int, frame: FrameType | None) -> None:
            trainer.stop()

        before = {number: signal.signal(number, stop) for number in _STOPPING}
        try:
            trainer.run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if fabric.is_global_zero:
            done = "finished" if trainer.finished else "stopped, `ugicm-train resume` goes on"
            click.echo(f"{path}: {done}")


def sitting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a sitting, and ``sitting`` as their argument."""

    def with_sitting(
        *,
        device: str,
        devices: int,
        precision: str,
        compiled: bool,
        threads: int | None,
        workers: int,
        minutes: float,
        logs: Path | None,
        **others: Any,
    ) -> None:
        sitting = Sitting(
            device=device,
            devices=devices,
            precision=Precision(precision),
            execution=Execution.COMPILED if compiled else Execution.EAGER,
            threads=threads,
            workers=workers,
            minutes=minutes,
            logs=logs,
        )
        command(sitting=sitting, **others)

    with_sitting.__name__ = command.__name__
    with_sitting.__doc__ = command.__doc__
    with_sitting.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(_OPTIONS):
        with_sitting = option(with_sitting)
    return with_sitting


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--device", default="auto", show_default=True, help="cpu, cuda or cuda:N."),
    click.option(
        "--devices",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="How many; they share each batch.",
    ),
    click.option(
        "--precision",
        type=click.Choice([each.value for each in Precision]),
        default=Precision.AUTO.value,
        show_default=True,
        help="Of convolutions; auto is bfloat16 where the device computes in it.",
    ),
    click.option("--compile", "compiled", is_flag=True, help="Compile the networks first."),
    click.option("--threads", type=click.IntRange(min=1), help="Of the CPU."),
    click.option(
        "--workers",
        type=click.IntRange(min=0),
        default=min(4, os.cpu_count() or 1),
        show_default=True,
        help="Decode pictures that stay on disk.",
    ),
    click.option("--minutes", type=float, default=math.inf, help="Stop with a checkpoint after."),
    click.option("--logs", type=PATH, help="For TensorBoard; CHECKPOINT.logs unless given."),
)
