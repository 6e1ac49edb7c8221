"""Runs a recipe's stages, from one checkpoint to the next."""

from __future__ import annotations

import dataclasses
import logging
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from ugicm_training.data import PhotoSet
from ugicm_training.errors import BadCheckpoint, MissingWeights
from ugicm_training.losses import LossTerms, training_loss
from ugicm_training.model import TrainableHyperprior
from ugicm_training.recipes import Recipe, Stage, Trained, Views
from ugicm_training.teacher import Teacher

__all__ = ["Position", "Trainer"]

_log = logging.getLogger(__name__)

# What torch.load and a state of another form raise.
_UNREADABLE = (
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)

_VALIDATION_QUALITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
_VALIDATION_SIDE = 192


@dataclass
class Position:
    """Where a run is: the steps done of each stage, and the stage at work."""

    stage: int
    step: int


class Trainer:
    """One run of one recipe.

    Args:
        checkpoint: the file that is written while training, and from which a run goes on.
        seconds: after which the run stops with a checkpoint.
        clock: seconds that only go on.
    """

    def __init__(
        self,
        recipe: Recipe,
        photos: PhotoSet,
        *,
        teacher: Teacher | None,
        device: torch.device,
        precision: torch.dtype,
        checkpoint: Path,
        seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recipe = recipe
        self._training, self._validation = photos.split(recipe.held_out)
        self._teacher = teacher
        self._device = device
        self._precision = precision
        self._checkpoint = checkpoint
        self._clock = clock
        self._deadline = clock() + seconds
        torch.manual_seed(recipe.seed)
        self.model = TrainableHyperprior(
            recipe.config, knots=recipe.knots, lambdas=recipe.lambdas
        ).to(device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._position = Position(stage=0, step=0)
        self._optimizer = self._new_optimizer()
        self.record: dict[str, Any] = {
            "recipe": _as_json(dataclasses.asdict(recipe)),
            "data": {"training": len(self._training.names), "held_out": recipe.held_out},
            "device": str(device),
            "threads": torch.get_num_threads(),
            "precision": str(precision).removeprefix("torch."),
            "teacher": teacher.description if teacher else None,
            "stages": {},
            "validation": [],
        }

    @property
    def finished(self) -> bool:
        """Whether every stage has had its steps."""
        return self._position.stage == len(self._recipe.stages)

    def resume(self) -> None:
        """Go on from the checkpoint.

        Raises:
            BadCheckpoint: the file is none of this recipe's.
        """
        try:
            state = torch.load(self._checkpoint, map_location=self._device, weights_only=True)
            if state["record"]["recipe"] != self.record["recipe"]:
                raise BadCheckpoint(f"{self._checkpoint} comes from another recipe")
            position = Position(**state["position"])
            self.model.load_state_dict(state["model"])
            self._position = position
            if not self.finished:
                self._optimizer = self._new_optimizer()
                self._optimizer.load_state_dict(state["optimizer"])
            self.record = state["record"]
        except _UNREADABLE as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise BadCheckpoint(f"{self._checkpoint} is no checkpoint: {reason}") from error

    def run(self) -> None:
        """Train until the last stage ends or the deadline comes.

        Raises:
            MissingWeights: a stage draws machine views, and there is no teacher.
        """
        recipe = self._recipe
        if self._teacher is None and any(stage.views is Views.ALL for stage in recipe.stages):
            raise MissingWeights(f"recipe {recipe.name} draws machine views: it needs a teacher")
        while not self.finished and self._clock() < self._deadline:
            self._run_stage(self._recipe.stages[self._position.stage])
        self._save()

    def _run_stage(self, stage: Stage) -> None:
        entry = self.record["stages"].setdefault(
            stage.name, {"steps": 0, "seconds": 0.0, "curve": []}
        )
        self._free(stage)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, transient=True) as progress:
            bar = progress.add_task(stage.name, total=stage.steps, completed=self._position.step)
            started = self._clock()
            while self._position.step < stage.steps and self._clock() < self._deadline:
                terms = self._train_step(stage)
                self._position.step += 1
                entry["steps"] = self._position.step
                progress.update(bar, advance=1, description=f"{stage.name}: {_describe(terms)}")
                if self._due(self._recipe.validation_every, stage):
                    entry["curve"].append([self._position.step, *_values(terms)])
                    self._validate(stage)
                if self._due(self._recipe.checkpoint_every, stage):
                    now = self._clock()
                    entry["seconds"] += now - started
                    started = now
                    self._save()
        if self._position.step == stage.steps:
            self._position = Position(stage=self._position.stage + 1, step=0)
            if not self.finished:
                self._optimizer = self._new_optimizer()
        entry["seconds"] += self._clock() - started

    def _free(self, stage: Stage) -> None:
        """Let gradients change what the stage trains, and nothing else."""
        self.model.requires_grad_(stage.trained is Trained.EVERYTHING)
        synthesis = self.model.g_s.requires_grad_(True)
        # Trained on one view alone, the others would drift away from it.
        synthesis.embedding.requires_grad_(stage.views is Views.ALL)
        synthesis.view_terms.requires_grad_(stage.views is Views.ALL)

    def _due(self, every: int, stage: Stage) -> bool:
        return self._position.step % every == 0 or self._position.step == stage.steps

    def _train_step(self, stage: Stage) -> LossTerms:
        recipe, step = self._recipe, self._position.step
        # Everything random is drawn anew from the step, so that a resumed run draws the same.
        seed = hash((recipe.seed, self._position.stage, step)) % 2**63
        generator = torch.manual_seed(seed)
        original = self._training.crops(
            batch=stage.batch, side=stage.crop, seed=recipe.seed + self._position.stage, step=step
        )
        original = original.to(self._device, memory_format=torch.channels_last)
        # Stratified: every batch covers the range of qualities.
        slots = torch.arange(stage.batch) + torch.rand(stage.batch, generator=generator)
        quality = (slots / stage.batch).to(self._device)
        view = _draw_views(stage, generator).to(self._device)
        for group in self._optimizer.param_groups:
            group["lr"] = group["relative_rate"] * self._rate(stage, step)
        if stage.trained is Trained.SYNTHESIS:
            with torch.no_grad():
                coded = self.model.encode(original, quality, precision=self._precision)
        else:
            coded = self.model.encode(original, quality, precision=self._precision)
        reconstruction = self.model.synthesise(coded.y_hat, view, precision=self._precision)
        mixed = self._precision != torch.float32
        with torch.autocast(self._device.type, dtype=self._precision, enabled=mixed):
            terms = training_loss(
                original=original,
                reconstruction=reconstruction,
                bits=coded.bits,
                distortion_weight=self.model.gains.distortion_weight(quality),
                view=view,
                weights=recipe.weights,
                teacher=self._teacher if stage.views is Views.ALL else None,
            )
        self._optimizer.zero_grad()
        terms.total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.gradient_norm)
        self._optimizer.step()
        return terms

    def _rate(self, stage: Stage, step: int) -> float:
        warmup = min(1.0, (step + 1) / self._recipe.warmup_steps)
        return warmup * (
            stage.first_rate + (stage.last_rate - stage.first_rate) * step / stage.steps
        )

    def _new_optimizer(self) -> torch.optim.Adam:
        synthesis = self.model.g_s
        of_view = [*synthesis.embedding.parameters(), *synthesis.view_terms.parameters()]
        known = {id(parameter) for parameter in of_view}
        others = [each for each in self.model.parameters() if id(each) not in known]
        return torch.optim.Adam(
            [
                {"params": others, "relative_rate": 1.0},
                {"params": of_view, "relative_rate": self._recipe.view_rate},
            ]
        )

    @torch.no_grad()
    def _validate(self, stage: Stage) -> None:
        crops = [
            torch.from_numpy(picture[:_VALIDATION_SIDE, :_VALIDATION_SIDE].copy())
            for picture in self._validation.pictures
            if min(picture.shape[:2]) >= _VALIDATION_SIDE
        ]
        if not crops:
            return
        original = torch.stack(crops).permute(0, 3, 1, 2).float().div_(255.0).to(self._device)
        points = []
        for value in _VALIDATION_QUALITIES:
            quality = torch.full((len(original),), value, device=self._device)
            coded = self.model.encode(original, quality, precision=self._precision)
            views = {}
            for name, view in (("human", 0.0), ("machine", 1.0)):
                of_all = torch.full_like(quality, view)
                picture = self.model.synthesise(coded.y_hat, of_all, precision=self._precision)
                error = (picture.clamp(0.0, 1.0) - original).square().flatten(1).mean(1)
                views[name] = round(float((-10.0 * torch.log10(error)).mean()), 3)
            bits_per_pixel = float(coded.bits.mean()) / _VALIDATION_SIDE**2
            points.append([value, round(bits_per_pixel, 4), views["human"], views["machine"]])
        self.record["validation"].append([stage.name, self._position.step, points])
        _log.info(
            "%s %d: quality, bpp, PSNR of both views %s", stage.name, self._position.step, points
        )

    def _save(self) -> None:
        state = {
            "position": dataclasses.asdict(self._position),
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "record": self.record,
        }
        temporary = self._checkpoint.with_suffix(".partial")
        torch.save(state, temporary)
        temporary.replace(self._checkpoint)


def _draw_views(stage: Stage, generator: torch.Generator) -> Tensor:
    if stage.views is Views.HUMAN:
        return torch.zeros(stage.batch)
    position = 3.0 * torch.rand(stage.batch, generator=generator)
    return (position - 1.0).clamp(0.0, 1.0)


def _values(terms: LossTerms) -> list[float]:
    values = (terms.total, terms.bits_per_pixel, terms.squared_error, terms.semantic)
    return [round(float(value.detach()), 6) for value in values]


def _describe(terms: LossTerms) -> str:
    total, bits_per_pixel, squared_error, semantic = _values(terms)
    psnr = -10.0 * math.log10(max(squared_error, 1e-10))
    return f"loss {total:.3f}, {bits_per_pixel:.3f} bpp, {psnr:.2f} dB, meaning {semantic:.3f}"


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    return getattr(value, "value", value)
