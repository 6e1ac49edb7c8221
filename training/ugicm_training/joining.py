"""Makes one model of the human view of one model file and the machine view of another."""

from __future__ import annotations

import torch

from ugicm_codec.models.modelfile import ModelFile, serialise_model
from ugicm_training.errors import EndsDiffer

__all__ = ["join"]

_MACHINE_END = "g_s.machine."
# PCDM (paper, Eq. 8) is at work at every position of the view, so both ends have one.
_PCDM = ("g_s.embedding.", "g_s.view_terms.")


def join(human: ModelFile, machine: ModelFile) -> bytes:
    """Return a model file that decodes to the one's human view and the other's machine view.

    The ends of a synthesis share nothing but PCDM, so that they can be trained apart, from one
    start. Encoder and entropy model are the same in both files, and so are streams.

    Args:
        human: with one end or two; its human end is used.
        machine: with two ends; its machine end is used.

    Raises:
        EndsDiffer: they have not come from one start.
    """
    names = f"{human.info.name} and {machine.info.name}"
    foreign = {name for name in machine.tensors if name.startswith(_MACHINE_END)}
    if not foreign:
        raise EndsDiffer(f"{machine.info.name} has no machine end of its own")
    ours = machine.tensors.keys() - foreign
    if any(
        name not in human.tensors or human.tensors[name].shape != machine.tensors[name].shape
        for name in ours
    ):
        raise EndsDiffer(f"{names} are networks of different sizes")
    human_end = {name for name in ours if name.startswith("g_s.") and not name.startswith(_PCDM)}
    for name in sorted(ours - human_end):
        if not torch.equal(human.tensors[name], machine.tensors[name]):
            raise EndsDiffer(f"{names} have not come from one start: their {name} differ")
    tensors = {**machine.tensors, **{name: human.tensors[name] for name in human_end}}
    record = {**machine.info.training, "human_end": dict(human.info.training)}
    return serialise_model(tensors, machine.config, record)
