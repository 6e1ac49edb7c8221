"""What training refuses.

TrainingError
  + EmptyDataset       no usable picture
  + BadCheckpoint      a checkpoint of another recipe, or not one at all
  + MissingWeights     a teacher's weights are not where they were said to be
"""

from __future__ import annotations

__all__ = ["BadCheckpoint", "EmptyDataset", "MissingWeights", "TrainingError"]


class TrainingError(Exception):
    """The root of everything training refuses."""


class EmptyDataset(TrainingError):
    """No usable picture was found."""


class BadCheckpoint(TrainingError):
    """The file is no checkpoint of this recipe."""


class MissingWeights(TrainingError):
    """A teacher's weights are missing."""
