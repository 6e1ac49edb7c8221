"""Finds the instances that one step's crops show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ugicm_training.data import Batch
from ugicm_training.errors import MissingMasks
from ugicm_training.instances.cropping import InstanceLimits, batch_instances, crop_instances
from ugicm_training.instances.masks import InstanceMasks
from ugicm_training.instances.store import MaskStore

__all__ = ["find_instances"]


def find_instances(
    store: MaskStore,
    batch: Batch,
    chosen: Sequence[int],
    limits: InstanceLimits,
    rng: np.random.Generator,
) -> InstanceMasks:
    """Return the instances of some of a batch's crops, owned by their places in ``chosen``.

    Raises:
        MissingMasks: the store does not know one of the pictures.
        BadMasks: its masks are those of a picture of another size.
    """
    crops = []
    for index in chosen:
        stored = store.find(batch.names[index])
        if stored is None:
            raise MissingMasks(
                f"{store.path} knows no picture {batch.names[index]}: run `ugicm-train masks` again"
            )
        crops.append(crop_instances(stored, batch.windows[index], limits, rng))
    return batch_instances(crops, batch.pictures.shape[-1])
