"""What training refuses.

TrainingError
  + EmptyDataset       no usable picture
  + UnreadableShard    a .tar of pictures is damaged
  + BadCheckpoint      a checkpoint of another recipe, or not one at all
  + BadStart           a model file that cannot be trained further
  + ForeignCheckpoint  a checkpoint of a kind that is not imported
  + MissingWeights     a teacher's weights are not where they were said to be
  + BadEmbeddings      the table that a teacher is fitted to is no such table
  + BadMasks           a file of instance masks is none, or does not fit its pictures
"""

from __future__ import annotations

__all__ = [
    "BadCheckpoint",
    "BadEmbeddings",
    "BadMasks",
    "BadStart",
    "EmptyDataset",
    "ForeignCheckpoint",
    "MissingWeights",
    "TrainingError",
    "UnreadableShard",
]


class TrainingError(Exception):
    """The root of everything training refuses."""


class EmptyDataset(TrainingError):
    """No usable picture was found."""


class UnreadableShard(TrainingError):
    """A shard of pictures is damaged."""


class BadCheckpoint(TrainingError):
    """The file is no checkpoint of this recipe."""


class BadStart(TrainingError):
    """The model file cannot be trained further."""


class ForeignCheckpoint(TrainingError):
    """The file holds no checkpoint of a kind that is imported."""


class MissingWeights(TrainingError):
    """A teacher's weights are missing."""


class BadEmbeddings(TrainingError):
    """The file holds no names with CLIP vectors."""


class BadMasks(TrainingError):
    """The file holds no masks, or not those of these pictures."""
