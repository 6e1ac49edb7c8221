"""Runs a recipe's stages, from one checkpoint to the next."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from ugicm_training.checkpoints import Checkpoint, Position
from ugicm_training.data import Batch, Order, PictureSource
from ugicm_training.data.ahead import one_ahead
from ugicm_training.engine import Precision, resolve_precision
from ugicm_training.errors import (
    BadCheckpoint,
    Diverged,
    MissingMasks,
    MissingWeights,
    UnusableDevice,
)
from ugicm_training.instance_lookup import find_instances
from ugicm_training.instances.masks import InstanceMasks
from ugicm_training.instances.store import MaskStore
from ugicm_training.journal import Journal
from ugicm_training.losses import LossTerms, training_loss
from ugicm_training.measures import Measures
from ugicm_training.ms_clip import MsClip
from ugicm_training.network import Network
from ugicm_training.optimisation import free, learning_rate, new_optimizer, set_learning_rate
from ugicm_training.plan import Plan, draw_plan
from ugicm_training.progress import Display
from ugicm_training.randomness import Draw, generator_at, seed_at
from ugicm_training.recipes import Stage, Unit
from ugicm_training.teachers.protocol import Teacher
from ugicm_training.validation import validate

__all__ = ["Execution", "Trainer"]

_VALIDATION_PICTURES = 8


class Execution(Enum):
    """How networks are run."""

    EAGER = "eager"
    # Compiled by torch.compile: minutes later at the start, then faster.
    COMPILED = "compiled"


@dataclass
class _Work:
    """What a stage works with, as the engine wraps it."""

    stage: Stage
    steps: int
    network: Any
    optimizer: Any
    ms_clip: MsClip | None


class Trainer:
    """One run of one recipe, which goes on from a checkpoint: a new run's, too.

    Args:
        start: where the run goes on.
        path: of the checkpoint that is written while training.
        fabric: launched.
        pictures: to train on.
        teacher: of MS-CLIP; None where no stage asks for it.
        masks: of instances; None where no stage asks for them.
        precision: of the convolutions.
        execution: of the networks.
        logs: folder for TensorBoard, if any.
        display: for whoever watches.
        seconds: after which the run stops with a checkpoint.
        clock: seconds that only go on.

    Raises:
        MissingWeights: a stage asks for meaning, and there is no teacher.
        MissingMasks: a stage asks for instances, and there are no masks.
        BadCheckpoint: the parameters are another network's.
        UnusableDevice: the devices cannot share a stage's batches evenly.
    """

    def __init__(
        self,
        start: Checkpoint,
        path: Path,
        *,
        fabric: Fabric,
        pictures: PictureSource,
        teacher: Teacher | None = None,
        masks: MaskStore | None = None,
        precision: Precision = Precision.AUTO,
        execution: Execution = Execution.EAGER,
        logs: Path | None = None,
        display: Display | None = None,
        seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recipe = start.recipe
        self._start = start
        self._path = path
        self._fabric = fabric
        self._pictures = pictures
        self._teacher = teacher
        self._masks = masks
        self._precision = resolve_precision(precision, fabric.device)
        self._clock = clock
        self._deadline = clock() + seconds
        self._stopped = False
        self._position = start.position
        self._optimizer: torch.optim.Adam | None = None
        self._check_inputs()
        self._model = start.model().to(fabric.device)
        self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if execution is Execution.COMPILED:
            self._model.compile_networks()
        self._record = copy.deepcopy(start.record)
        self._record["runs"].append(
            {
                "stage": self._position.stage,
                "step": self._position.step,
                "device": str(fabric.device),
                "devices": fabric.world_size,
                "threads": torch.get_num_threads(),
                "precision": str(self._precision).removeprefix("torch."),
                "execution": execution.value,
                "torch": str(torch.__version__),  # a class of its own, which checkpoints refuse
            }
        )
        leads = fabric.is_global_zero
        self._journal = Journal(
            self._record,
            display=(display if display and leads else Display()),
            logs=logs if leads else None,
            clock=clock,
        )

    @property
    def finished(self) -> bool:
        """Whether every stage has had its steps."""
        return self._position.stage == len(self._recipe.stages)

    @property
    def checkpoint(self) -> Checkpoint:
        """The run as it is now."""
        return Checkpoint(
            recipe=self._recipe,
            position=self._position,
            model_state=self._model.state_dict(),
            optimizer_state=self._optimizer.state_dict() if self._optimizer else None,
            inputs=self._start.inputs,
            record=self._record,
            base=self._start.base,
        )

    def stop(self) -> None:
        """Stop with a checkpoint after the step at work; may be called by a signal's handler."""
        self._stopped = True

    def run(self) -> None:
        """Train until the last stage ends, the time is up, or ``stop`` is called.

        Raises:
            Diverged: the loss, or a parameter, is no number any more.
            CheckpointNotWritten: the disk is full.
        """
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[None]:
        """Do what ``run`` does, one step at a time."""
        with self._journal:
            while not self.finished and not self._must_stop():
                yield from self._steps_of_stage()
        if not self.finished:
            self._save()

    def _check_inputs(self) -> None:
        devices = self._fabric.world_size
        for stage in self._recipe.stages[self._position.stage :]:
            if stage.batch % devices:
                raise UnusableDevice(
                    f"stage {stage.name} has batches of {stage.batch}, which {devices} devices "
                    "cannot share evenly"
                )
            if stage.is_semantic and self._teacher is None:
                raise MissingWeights(
                    f"stage {stage.name} of recipe {self._recipe.name} asks a teacher: "
                    "give one with --teacher"
                )
            if stage.needs_instances and self._masks is None:
                raise MissingMasks(
                    f"stage {stage.name} of recipe {self._recipe.name} needs instances: run "
                    "`ugicm-train masks PHOTOS -o FILE` and give --masks FILE"
                )

    def _must_stop(self) -> bool:
        stop = self._stopped or self._clock() >= self._deadline
        if self._fabric.world_size > 1:
            # Clocks and signals differ between processes: the first one's count.
            stop = self._fabric.broadcast(stop)
        return stop

    def _steps_of(self, stage: Stage) -> int:
        if stage.length.unit is Unit.STEPS:
            return stage.length.count
        return math.ceil(stage.length.count * self._pictures.count / stage.batch)

    def _overall(self) -> int:
        before = self._recipe.stages[: self._position.stage]
        return sum(map(self._steps_of, before)) + self._position.step

    def _steps_of_stage(self) -> Iterator[None]:
        work = self._prepare()
        stage, index, first = work.stage, self._position.stage, self._position.step
        self._journal.begin(stage.name, overall=self._overall())
        order = Order(
            seed=self._recipe.seed,
            stage=index,
            batch=stage.batch,
            side=stage.crop,
            rank=self._fabric.global_rank,
            world=self._fabric.world_size,
        )
        with closing(one_ahead(self._pictures.batches(order, first))) as batches:
            for step in range(first, work.steps):
                if self._must_stop():
                    break
                terms, norm = self._step(work, next(batches))
                self._position = replace(self._position, step=step + 1)
                self._after(work, terms, norm)
                yield
        if not stage.trains_views:
            self._model.join_ends()
        if self._position.step < work.steps:
            return
        self._position = Position(stage=index + 1, step=0)
        self._optimizer = None
        self._save()

    def _prepare(self) -> _Work:
        stage = self._recipe.stages[self._position.stage]
        free(self._model, stage)
        optimizer = new_optimizer(self._model, self._recipe)
        if self._position == self._start.position and self._start.optimizer_state:
            try:
                optimizer.load_state_dict(dict(self._start.optimizer_state))
            except (KeyError, ValueError) as error:
                raise BadCheckpoint(f"the optimiser's state is another stage's: {error}") from error
        self._optimizer = optimizer
        network = Network(self._model, trained=stage.trained, precision=self._precision)
        wrapped, wrapped_optimizer = self._fabric.setup(network, optimizer)
        ms_clip = None
        if stage.is_semantic and self._teacher:
            ms_clip = MsClip(self._teacher, terms=stage.terms, local_share=stage.local_share)
        return _Work(stage, self._steps_of(stage), wrapped, wrapped_optimizer, ms_clip)

    def _step(self, work: _Work, batch: Batch) -> tuple[LossTerms, torch.Tensor]:
        stage, step, fabric = work.stage, self._position.step, self._fabric
        place = self._place()
        plan = draw_plan(
            stage,
            seed=self._recipe.seed,
            lambda_of=self._model.gains.distortion_weight,
            index=self._position.stage,
            step=step,
            epoch_steps=max(1, self._pictures.count // stage.batch),
        ).part(fabric.global_rank, fabric.world_size)
        instances = self._instances(stage, batch, plan)
        view = plan.view
        plan = plan.to(fabric.device)
        # Everything random is drawn anew from the step, so that a resumed run draws the same.
        torch.manual_seed(seed_at(self._recipe.seed, Draw.NOISE, *place))
        local = torch.Generator().manual_seed(seed_at(self._recipe.seed, Draw.LOCAL_CROPS, *place))
        set_learning_rate(
            work.optimizer, learning_rate(self._recipe, stage, step=step, steps=work.steps)
        )
        reconstruction, bits = work.network(batch.pictures, plan.quality, view)
        lowered = self._precision != torch.float32
        with torch.autocast(fabric.device.type, dtype=self._precision, enabled=lowered):
            terms = training_loss(
                original=batch.pictures,
                reconstruction=reconstruction,
                bits=bits,
                plan=plan,
                ms_clip=work.ms_clip,
                instances=instances,
                generator=local,
            )
        work.optimizer.zero_grad()
        fabric.backward(terms.total)
        norm = fabric.clip_gradients(
            work.network,
            work.optimizer,
            max_norm=self._recipe.gradient_norm,
            error_if_nonfinite=False,
        )
        assert norm is not None  # only plugins that this engine never has return none
        work.optimizer.step()
        return terms, norm

    def _place(self) -> tuple[int, int, int]:
        return self._position.stage, self._position.step, self._fabric.global_rank

    def _instances(self, stage: Stage, batch: Batch, plan: Plan) -> InstanceMasks | None:
        if self._masks is None or not stage.needs_instances or not len(plan.asking):
            return None
        rng = generator_at(self._recipe.seed, Draw.INSTANCES, *self._place())
        found = find_instances(self._masks, batch, plan.asking.tolist(), stage.instances, rng)
        return found.to(self._fabric.device)

    def _after(self, work: _Work, terms: LossTerms, norm: torch.Tensor) -> None:
        stage, step, recipe = work.stage, self._position.step, self._recipe
        self._journal.count(stage.name, step)
        last = step == work.steps
        records = last or step % recipe.record_every == 0
        saves = last or step % recipe.checkpoint_every == 0
        shows = self._journal.is_due()
        if records or saves or shows:
            measures = Measures.of(terms)
            if not (math.isfinite(measures.loss) and math.isfinite(float(norm))):
                raise Diverged(
                    f"stage {stage.name}: the loss is {measures.loss} at step {step} and its "
                    f"gradient's norm {float(norm)}; {self._path} stays as it was"
                )
            if records:
                self._journal.record(stage.name, step, measures, overall=self._overall())
            if shows or last:
                self._journal.show(stage.name, step, work.steps, measures, batch=stage.batch)
        validates = last or step % recipe.validation_every == 0
        if (validates or saves) and not stage.trains_views:
            # What no gradient reaches would fall behind the human end.
            self._model.join_ends()
        if validates:
            self._validate(stage)
        # The checkpoint after a stage's last step is written as the next stage's first.
        if saves and not last:
            self._save()

    def _validate(self, stage: Stage) -> None:
        if self._fabric.is_global_zero and self._pictures.held_out.pictures:
            points = validate(
                self.checkpoint.model(),
                self._pictures.held_out.first(_VALIDATION_PICTURES),
                self._pictures.calibration,
                quality_steps=self._recipe.quality_steps,
                teacher=self._teacher,
                device=self._fabric.device,
            )
            self._journal.validated(
                stage.name, self._position.step, points, overall=self._overall()
            )
        self._fabric.barrier()

    def _save(self) -> None:
        # Steps since the last look at the loss may have ruined what would replace a good file.
        if not all(bool(each.isfinite().all()) for each in self._model.parameters()):
            raise Diverged(
                f"after {self._overall()} steps the parameters are no numbers any more; "
                f"{self._path} stays as it was"
            )
        if self._fabric.is_global_zero:
            self.checkpoint.write(self._path)
        self._fabric.barrier()
