"""Opens the dataset that a configuration describes."""

from __future__ import annotations

import functools

from ugicm_evaluation.config import (
    ClassFolders,
    Coco,
    DatasetConfig,
    Labelled,
    Pictures,
    VocDetection,
    VocSegmentation,
)
from ugicm_evaluation.datasets.class_folders import ClassFolderPictures
from ugicm_evaluation.datasets.coco import CocoPictures
from ugicm_evaluation.datasets.folder import PictureFolder
from ugicm_evaluation.datasets.imagenet import LabelledFolder
from ugicm_evaluation.datasets.protocol import Dataset
from ugicm_evaluation.datasets.voc import VocLabelMaps, VocObjects

__all__ = ["open_dataset"]


@functools.cache  # one process scores many codings of the same pictures
def open_dataset(config: DatasetConfig) -> Dataset:
    """Return the dataset with all its pictures, whatever part of them is asked for.

    Raises:
        BadDataset: it is not there, or is another.
    """
    match config:
        case Pictures():
            return PictureFolder(config.folder, name=config.name)
        case Labelled():
            return LabelledFolder(config.folder, name=config.name)
        case ClassFolders():
            return ClassFolderPictures(config.folder, config.classes, name=config.name)
        case Coco():
            return CocoPictures(config.images, config.annotations, name=config.name)
        case VocDetection():
            return VocObjects(config.folder, config.split, name=config.name)
        case VocSegmentation():
            return VocLabelMaps(config.folder, config.split, name=config.name)
