"""What training refuses.

TrainingError
  + EmptyDataset       no usable picture
  + BadDataset         pictures are kept in a way that is not read
  + UnreadableShard    a .tar of pictures is damaged
  + BadCheckpoint      a file that is no checkpoint, or a damaged one
  + CheckpointNotWritten  the disk is full, or writing is not allowed
  + DifferentInputs    a run would go on with other pictures, another teacher or other masks
  + Diverged           the loss is no number any more
  + BadStart           a model file that cannot be trained further
  + EndsDiffer         two model files cannot be joined into one
  + ForeignCheckpoint  a checkpoint of a kind that is not imported
  + UnknownTeacher     a specification names no teacher
  + MissingWeights     a teacher's weights are not where they were said to be
  + BadEmbeddings      the table that a teacher is fitted to is no such table
  + BadMasks           a file of instance masks is none, or does not fit its pictures
  + MissingMasks       a recipe needs instances, and no masks were given
  + MissingPackage     an optional package that was asked for is not installed
  + UnusableDevice     a device that is not there
"""

from __future__ import annotations

__all__ = [
    "BadCheckpoint",
    "BadDataset",
    "BadEmbeddings",
    "BadMasks",
    "BadStart",
    "CheckpointNotWritten",
    "DifferentInputs",
    "Diverged",
    "EmptyDataset",
    "EndsDiffer",
    "ForeignCheckpoint",
    "MissingMasks",
    "MissingPackage",
    "MissingWeights",
    "TrainingError",
    "UnknownTeacher",
    "UnreadableShard",
    "UnusableDevice",
]


class TrainingError(Exception):
    """The root of everything training refuses."""


class EmptyDataset(TrainingError):
    """No usable picture was found."""


class UnreadableShard(TrainingError):
    """A shard of pictures is damaged."""


class BadCheckpoint(TrainingError):
    """The file is no checkpoint."""


class BadStart(TrainingError):
    """The model file cannot be trained further."""


class EndsDiffer(TrainingError):
    """Two model files have not come from one start, and cannot be joined."""


class ForeignCheckpoint(TrainingError):
    """The file holds no checkpoint of a kind that is imported."""


class UnknownTeacher(TrainingError):
    """A specification names no teacher."""


class MissingWeights(TrainingError):
    """A teacher's weights are missing."""


class BadEmbeddings(TrainingError):
    """The file holds no names with CLIP vectors."""


class BadMasks(TrainingError):
    """The file holds no masks, or not those of these pictures."""


class BadDataset(TrainingError):
    """Pictures are kept in a way that is not read."""


class CheckpointNotWritten(TrainingError):
    """A checkpoint cannot be written; the one before is whole."""


class DifferentInputs(TrainingError):
    """A run would go on with other pictures, another teacher or other masks."""


class Diverged(TrainingError):
    """The loss is no number any more."""


class MissingMasks(TrainingError):
    """A recipe needs instances, and there are no masks."""


class UnusableDevice(TrainingError):
    """A device to train on is not there."""


class MissingPackage(TrainingError):
    """An optional package that was asked for is not installed."""
