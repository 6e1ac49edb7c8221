"""What can go wrong in an evaluation.

::

    EvaluationError
    ├── BadDataset
    ├── BadPicture
    ├── BadJudge
    ├── BadCurve
    ├── BadConfig
    ├── BadCodec
    ├── BadRun
    ├── MissingMaterial
    ├── NothingMeasured
    └── WorkerLost
"""

from __future__ import annotations

__all__ = [
    "BadCodec",
    "BadConfig",
    "BadCurve",
    "BadDataset",
    "BadJudge",
    "BadPicture",
    "BadRun",
    "EvaluationError",
    "MissingMaterial",
    "NothingMeasured",
    "WorkerLost",
]


class EvaluationError(Exception):
    """Base of everything this package raises."""


class BadDataset(EvaluationError):
    """A folder or its annotations are not what the dataset's adapter reads."""


class BadPicture(EvaluationError):
    """A picture cannot be read."""


class BadJudge(EvaluationError):
    """A judge's weights are missing, or are another network's."""


class BadCurve(EvaluationError):
    """Two curves have too little in common, or too few points, for a Bjøntegaard delta."""


class BadConfig(EvaluationError):
    """A configuration is none, or what it asks for cannot be done."""


class BadCodec(EvaluationError):
    """A codec's weights or results are missing, or are another codec's."""


class BadRun(EvaluationError):
    """A file holds no run's results, or not those that are asked for."""


class MissingMaterial(EvaluationError):
    """Data, weights or models that a preset needs are not where it expects them."""


class NothingMeasured(EvaluationError):
    """Not one picture could be measured."""


class WorkerLost(EvaluationError):
    """A process that measured died."""
