"""A checkpoint is whole or it is refused, and can be carried in small pieces."""

import json
import resource
from dataclasses import replace

import pytest
import torch

from tests.training.runs import INPUTS, short
from ugicm_training.checkpoints import Position, read_checkpoint
from ugicm_training.errors import BadCheckpoint, CheckpointNotWritten
from ugicm_training.optimisation import free, new_optimizer
from ugicm_training.packing import PIECE_BYTES, pack, unpack
from ugicm_training.recipes import default
from ugicm_training.starting import first_checkpoint


@pytest.fixture(scope="module")
def checkpoint():
    """Return a checkpoint with an optimiser that has learned something."""
    first = first_checkpoint(short(), INPUTS, pictures=4, start=None)
    model = first.model()
    free(model, first.recipe.stages[0])
    optimizer = new_optimizer(model, first.recipe)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = 1e-6 * torch.ones_like(parameter)
    optimizer.step()
    return replace(
        first,
        position=Position(stage=0, step=3),
        model_state=model.state_dict(),
        optimizer_state=optimizer.state_dict(),
    )


def test_what_is_read_is_what_was_written(checkpoint, tmp_path):
    path = tmp_path / "run.pt"
    checkpoint.write(path)
    again = read_checkpoint(path)
    assert (again.recipe, again.position) == (checkpoint.recipe, checkpoint.position)
    assert (again.inputs, again.record) == (checkpoint.inputs, checkpoint.record)
    assert again.model_state.keys() == checkpoint.model_state.keys()
    for name, value in checkpoint.model_state.items():
        assert torch.equal(again.model_state[name], value)
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize("data", [b"", b"no checkpoint"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, data):
    path = tmp_path / "run.pt"
    path.write_bytes(data)
    with pytest.raises(BadCheckpoint, match=r"run\.pt is no checkpoint"):
        read_checkpoint(path)


def test_a_checkpoint_cut_short_is_refused(checkpoint, tmp_path):
    path = tmp_path / "run.pt"
    path.write_bytes(checkpoint.to_bytes()[:-100])
    with pytest.raises(BadCheckpoint, match=r"run\.pt is no checkpoint"):
        read_checkpoint(path)


def test_a_checkpoint_of_another_version_is_refused(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("ugicm_training.checkpoints._VERSION", 2)
    checkpoint.write(tmp_path / "run.pt")
    monkeypatch.undo()
    with pytest.raises(BadCheckpoint, match="has checkpoint version 2, this release reads 1"):
        read_checkpoint(tmp_path / "run.pt")


def test_parameters_of_another_network_are_refused(checkpoint):
    with pytest.raises(BadCheckpoint, match="parameters of another network"):
        replace(checkpoint, recipe=default()).model()


def test_a_full_disk_leaves_the_old_checkpoint_whole(checkpoint, tmp_path):
    path = tmp_path / "run.pt"
    checkpoint.write(path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel refuses to write more than this to a file, as it does when a disk is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(CheckpointNotWritten, match=r"run\.pt cannot be written: .*; the old"):
            replace(checkpoint, position=Position(stage=0, step=4)).write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_one_clear_line(checkpoint, tmp_path):
    with pytest.raises(CheckpointNotWritten, match=r"cannot be written: No such file or directory"):
        checkpoint.write(tmp_path / "nowhere" / "run.pt")


def test_a_packed_checkpoint_is_half_as_large_and_nearly_the_same(checkpoint, tmp_path):
    files = pack(checkpoint, tmp_path / "packed")
    size = sum(path.stat().st_size for path in files)
    assert size < 0.65 * len(checkpoint.to_bytes())
    again = unpack(tmp_path / "packed")
    assert (again.recipe, again.position) == (checkpoint.recipe, checkpoint.position)
    for name, value in checkpoint.model_state.items():
        assert again.model_state[name].dtype == value.dtype
        torch.testing.assert_close(again.model_state[name], value, rtol=1e-3, atol=1e-6)
    for index, moments in checkpoint.optimizer_state["state"].items():
        loaded = again.optimizer_state["state"][index]
        assert torch.equal(loaded["step"], moments["step"])
        for moment in ("exp_avg", "exp_avg_sq"):
            # Gradients of 1e-6 have squares that a half float would lose.
            assert moments[moment].abs().max() > 0
            torch.testing.assert_close(loaded[moment], moments[moment], rtol=1e-2, atol=0)


def test_pieces_are_no_larger_than_promised(checkpoint, tmp_path, monkeypatch):
    assert PIECE_BYTES == 16 * 2**20
    monkeypatch.setattr("ugicm_training.packing.PIECE_BYTES", 5_000)
    files = pack(checkpoint, tmp_path)
    assert len(files) > 3
    assert all(path.stat().st_size <= 5_000 for path in files if path.name != "manifest.json")
    assert unpack(tmp_path).position == checkpoint.position


@pytest.mark.parametrize("damage", ["lost", "changed", "no manifest", "odd manifest"])
def test_damaged_pieces_are_refused(checkpoint, tmp_path, damage):
    first, *_, manifest = pack(checkpoint, tmp_path)
    if damage == "lost":
        first.unlink()
    elif damage == "changed":
        data = bytearray(first.read_bytes())
        data[1000] ^= 1
        first.write_bytes(data)
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(json.dumps({"pieces": [3]}))
    with pytest.raises(BadCheckpoint, match="holds no packed checkpoint"):
        unpack(tmp_path)
