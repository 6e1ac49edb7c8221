"""What a recipe is: everything that a training run decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ugicm_codec.models.backbone import BackboneConfig
from ugicm_training.instances.cropping import InstanceLimits
from ugicm_training.ms_clip import Term

__all__ = [
    "Length",
    "LossWeights",
    "Recipe",
    "Schedule",
    "Session",
    "Stage",
    "Trained",
    "Unit",
    "Views",
]


class Trained(Enum):
    """What a stage changes."""

    EVERYTHING = "everything"
    # Encoder, gains and entropy model stay as they are, and with them every stream.
    SYNTHESIS = "synthesis"
    # The human view stays as it is, too: of a synthesis with weights for either end of the views,
    # the machine's alone are trained.
    MACHINE_END = "machine end"


class Views(Enum):
    """Which view each picture of a session is decoded for."""

    HUMAN = "human"
    MACHINE = "machine"
    # Human for one half of the pictures, machine for the other.
    ENDS = "ends"
    # One view of all in [0, 1] for the whole batch: each view costs a pass of a synthesis that has
    # weights for either end.
    BETWEEN = "between"
    # A third human, a third machine, a third between, so that the whole range means something
    # (the published recipe draws the two ends alone).
    ALL = "all"


class Schedule(Enum):
    """How a stage's sessions share its steps."""

    # One block after the other within each epoch.
    ALTERNATING = "alternating"
    # Equal parts of every batch.
    MIXED = "mixed"


class Unit(Enum):
    """What a stage's length counts."""

    STEPS = "steps"
    EPOCHS = "epochs"


@dataclass(frozen=True)
class Length:
    """How long a stage is: a number of optimiser steps, or of passes over the pictures."""

    count: int
    unit: Unit = Unit.STEPS


@dataclass(frozen=True)
class LossWeights:
    """How much the terms of one picture's loss count.

    For view v the loss is, with MSE in squared grey levels (0 to 255)::

        rate * bpp + distortion * MSE * (1 - v * (1 - machine_distortion))
                   + semantic * v * MS-CLIP

    Attributes:
        rate: of bits per pixel; 0 where nothing that decides bits is trained.
        distortion: of the squared error; None is the lambda of the picture's quality.
        machine_distortion: share of the squared error that the machine view keeps.
        semantic: of MS-CLIP (Eq. 7) in the machine view; 0 asks no teacher.
    """

    rate: float = 1.0
    distortion: float | None = None
    machine_distortion: float = 1.0
    semantic: float = 0.0


@dataclass(frozen=True)
class Session:
    """Pictures that are decoded for the same kind of view, and judged alike."""

    views: Views
    weights: LossWeights


@dataclass(frozen=True)
class Stage:
    """Some steps of one kind.

    Attributes:
        name: in the log and the record.
        length: in steps or epochs.
        batch: pictures a step, over all devices.
        crop: pixels along a crop's side, a multiple of 64.
        first_rate: learning rate at the start, after the warm-up.
        last_rate: learning rate at the end; falls linearly in between.
        trained: what changes.
        sessions: at least one.
        schedule: how they share the steps.
        qualities: from which each picture's is drawn, evenly; one lambda where both are the same.
        terms: of MS-CLIP, where a session's weight of it is positive.
        local_share: side of the local term's crop relative to the training crop's, (0, 1].
        instances: which of a crop's instances MS-CLIP looks at.
    """

    name: str
    length: Length
    batch: int
    crop: int
    first_rate: float
    last_rate: float
    trained: Trained
    sessions: tuple[Session, ...]
    schedule: Schedule = Schedule.MIXED
    qualities: tuple[float, float] = (0.0, 1.0)
    terms: tuple[Term, ...] = tuple(Term)
    local_share: float = 0.5
    instances: InstanceLimits = field(default_factory=InstanceLimits)

    @property
    def is_semantic(self) -> bool:
        """Whether any session asks the teacher."""
        return any(session.weights.semantic > 0 for session in self.sessions)

    @property
    def needs_instances(self) -> bool:
        """Whether any session asks the teacher about instances."""
        return self.is_semantic and Term.INSTANCE in self.terms

    @property
    def trains_views(self) -> bool:
        """Whether views beside the human one are decoded.

        Trained on the human view alone, the view's network would drift for all others.
        """
        return any(session.views is not Views.HUMAN for session in self.sessions)


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run decides.

    Attributes:
        config: the network's sizes.
        knots: of the gains, over the quality range.
        lambdas: distortion's weight at quality 0 and 100, on the scale of squared grey levels.
        quality_steps: of the exported model; 1 is a model of one fixed lambda.
        stages: in order.
        view_rate: learning rate of the view's network relative to the others'. Its terms are sums
            over hundreds of features, so that equal steps would throw them about.
        teacher_side: pixels along both sides of what the teacher is shown; None is its own choice.
        warmup_steps: over which each stage's learning rate rises.
        gradient_norm: to which gradients are clipped.
        held_out: pictures at the end of the set that are never trained on.
        minimum_side: pixels; smaller pictures are left out.
        record_every: steps between two points of the recorded curve.
        validation_every: steps.
        checkpoint_every: steps.
        seed: of order, crops, noise, qualities and views.
    """

    name: str
    config: BackboneConfig
    knots: int
    lambdas: tuple[float, float]
    quality_steps: int
    stages: tuple[Stage, ...]
    view_rate: float
    teacher_side: int | None
    warmup_steps: int
    gradient_norm: float
    held_out: int
    minimum_side: int
    record_every: int
    validation_every: int
    checkpoint_every: int
    seed: int
