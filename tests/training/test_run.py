"""A recipe runs end to end: train, stop, go on, export, encode, decode."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from tests.pictures import scene
from ugicm_codec import Codec
from ugicm_training.cli import cli
from ugicm_training.data import PhotoSet, load_photos
from ugicm_training.errors import BadCheckpoint, EmptyDataset, MissingWeights, UnreadableShard
from ugicm_training.export import calibration_crops, export_model
from ugicm_training.recipes import tiny
from ugicm_training.trainer import Trainer


def test_a_checkpoint_of_another_recipe_is_refused(photos, tmp_path):
    trainer(photos, tmp_path / "run.pt", seconds=0.0).run()
    other = trainer(photos, tmp_path / "run.pt", replace(tiny(), seed=2))
    with pytest.raises(BadCheckpoint, match="comes from another recipe"):
        other.resume()


def test_machine_views_need_a_teacher(photos, tmp_path):
    run = trainer(photos, tmp_path / "run.pt")
    run._teacher = None
    with pytest.raises(MissingWeights, match="recipe tiny draws machine views"):
        run.run()


def test_a_set_that_is_held_out_whole_is_refused(photos):
    with pytest.raises(EmptyDataset, match="5 pictures, of which 5 are held out"):
        photos.split(5)


def test_a_broken_shard_is_one_clear_line(tmp_path):
    (tmp_path / "photos.tar").write_bytes(b"no shard")
    with pytest.raises(UnreadableShard, match=r"photos\.tar is no whole tar file"):
        load_photos(tmp_path, minimum_side=64)


@pytest.fixture(scope="module")
def photos():
    pictures = [scene(96, 112, seed) for seed in range(5)]
    return PhotoSet([f"scene {seed}" for seed in range(5)], pictures)


class Brightness:
    """A teacher that sees nothing but the mean colour."""

    description = "mean colour"

    def embed(self, pictures):
        return pictures.mean((2, 3))


def trainer(photos, checkpoint, recipe=None, **clock):
    return Trainer(
        recipe or tiny(),
        photos,
        teacher=Brightness(),
        device=torch.device("cpu"),
        precision=torch.float32,
        checkpoint=checkpoint,
        **clock,
    )


def parameters(run):
    return torch.cat([value.detach().flatten() for value in run.model.parameters()])


def test_a_stopped_run_goes_on_as_if_it_had_not_been(photos, tmp_path):
    whole = trainer(photos, tmp_path / "whole.pt")
    whole.run()
    assert whole.finished

    # A second passes at every look at the clock: it stops somewhere inside the second stage.
    ticks = itertools.count()
    stopped = trainer(photos, tmp_path / "stopped.pt", seconds=16, clock=lambda: next(ticks))
    stopped.run()
    assert 0 < stopped.record["stages"]["views"]["steps"] < 4
    resumed = trainer(photos, tmp_path / "stopped.pt")
    resumed.resume()
    resumed.run()
    assert resumed.finished
    assert torch.equal(parameters(whole), parameters(resumed))
    assert whole.record["stages"].keys() == resumed.record["stages"].keys()


def test_the_second_stage_leaves_streams_as_they_were(photos, tmp_path):
    recipe = tiny()
    first = trainer(photos, tmp_path / "run.pt", replace(recipe, stages=recipe.stages[:1]))
    first.run()
    before = exported(first, photos)
    both = trainer(photos, tmp_path / "both.pt")
    both.run()
    after = exported(both, photos)
    (tmp_path / "before.safetensors").write_bytes(before)
    (tmp_path / "after.safetensors").write_bytes(after)
    first_codec = Codec.load(str(tmp_path / "before.safetensors"))
    second_codec = Codec.load(str(tmp_path / "after.safetensors"))
    assert first_codec.model.latents_id == second_codec.model.latents_id
    assert first_codec.model.sha256 != second_codec.model.sha256
    picture = scene(70, 90)
    stream = first_codec.encode(picture, 100)
    assert second_codec.decode(stream).shape == picture.shape


def test_an_exported_model_encodes_and_decodes_both_views(photos, tmp_path):
    run = trainer(photos, tmp_path / "run.pt")
    run.run()
    path = tmp_path / "model.safetensors"
    path.write_bytes(exported(run, photos))
    codec = Codec.load(str(path))
    assert codec.model.quality_steps == 3
    assert codec.model.training["teacher"] == "mean colour"
    human, machine = codec.decode_views(codec.encode(scene(70, 90), 100), ["human", "machine"])
    assert human.shape == machine.shape == (70, 90, 3)
    assert not np.array_equal(human, machine)


def exported(run, photos):
    return export_model(
        run.model,
        calibration=calibration_crops(photos),
        quality_steps=run.record["recipe"]["quality_steps"],
        training=run.record,
    )


@pytest.mark.parametrize("data", [b"", b"no checkpoint"])
def test_a_file_that_is_no_checkpoint_is_refused(photos, tmp_path, data):
    path = tmp_path / "run.pt"
    path.write_bytes(data)
    with pytest.raises(BadCheckpoint, match=r"run\.pt is no checkpoint"):
        trainer(photos, path).resume()


def test_broken_and_small_pictures_are_skipped_and_named_once(tmp_path, caplog):
    Image.fromarray(scene(80, 80)).save(tmp_path / "good.png")
    Image.fromarray(scene(40, 80)).save(tmp_path / "small.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    photos = load_photos(tmp_path, minimum_side=64)
    assert photos.names == ["good.png"]
    assert "skipped 1 unreadable pictures, the first is broken.jpg" in caplog.text
    assert "skipped 1 pictures smaller than 64 pixels" in caplog.text


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(EmptyDataset, match="no picture of at least 64 pixels"):
        load_photos(tmp_path, minimum_side=64)


def test_the_same_step_gives_the_same_crops(photos):
    first = photos.crops(batch=3, side=64, seed=1, step=7)
    assert torch.equal(first, photos.crops(batch=3, side=64, seed=1, step=7))
    assert not torch.equal(first, photos.crops(batch=3, side=64, seed=1, step=8))


def test_a_run_does_not_overwrite_a_checkpoint(tmp_path):
    (tmp_path / "run.pt").write_bytes(b"precious")
    arguments = ["run", str(tmp_path), "--checkpoint", str(tmp_path / "run.pt")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert "--resume goes on from it" in result.output
    assert (tmp_path / "run.pt").read_bytes() == b"precious"


def test_time_that_is_up_stops_a_run_with_a_checkpoint(photos, tmp_path):
    run = trainer(photos, tmp_path / "run.pt", seconds=0.0)
    run.run()
    assert not run.finished
