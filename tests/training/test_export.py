"""A checkpoint becomes a model file: with its whole record, at once, and never saturating."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pictures import noise, scene
from ugicm_codec import Codec
from ugicm_training.check import check_export
from ugicm_training.checkpoints import Inputs
from ugicm_training.cli import main
from ugicm_training.data import PhotoSet
from ugicm_training.export import calibration_crops, export_model, export_record
from ugicm_training.pretrained import load_start
from ugicm_training.recipes import tiny
from ugicm_training.starting import first_checkpoint
from ugicm_training.tables import gaussian_tables

INPUTS = Inputs(
    photos="photos",
    storage="memory",
    digest="0123456789abcdef",
    teacher=None,
    teacher_description="mean colour",
    masks=None,
    masks_description=None,
)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        Image.fromarray(scene(70, 90, seed)).save(folder / f"scene-{seed}.png")
    return folder


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    first_checkpoint(tiny(), INPUTS, pictures=2, start=None).write(path)
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["ugicm-train", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main()
    return done.value.code


def test_the_file_says_how_it_came_about(checkpoint, photos, tmp_path, monkeypatch):
    model = tmp_path / "model.safetensors"
    notes = ["--commit", "abc123", "--sources", "my camera"]
    assert run(monkeypatch, "export", checkpoint, photos, "-o", model, *notes) == 0
    record = Codec.load(str(model)).model.training
    assert record["recipe"]["name"] == "tiny"
    assert record["teacher"] == "mean colour"
    assert record["data"] == {"training": 2, "held_out": 1, "digest": "0123456789abcdef"}
    assert (record["export"]["commit"], record["export"]["sources"]) == ("abc123", "my camera")
    assert record["export"]["versions"]["torch"] == str(torch.__version__)
    assert record["export"]["calibration"]["pictures"] == 3
    assert len(record["export"]["calibration"]["digest"]) == 16


def test_the_calibration_s_digest_names_the_pictures():
    pictures = [scene(64, 64, seed) for seed in range(2)]
    records = [
        export_record(PhotoSet(names, pictures), None, None) for names in (["a", "b"], ["a", "c"])
    ]
    assert records[0]["calibration"]["digest"] != records[1]["calibration"]["digest"]
    assert records[0]["commit"] is None


def test_check_compares_a_file_with_its_checkpoint(checkpoint, photos, tmp_path, monkeypatch):
    model = tmp_path / "model.safetensors"
    assert run(monkeypatch, "export", checkpoint, photos, "-o", model) == 0
    assert run(monkeypatch, "check", model, photos, "--checkpoint", checkpoint) == 0


def test_check_fails_a_file_of_another_checkpoint(checkpoint, photos, tmp_path, monkeypatch):
    model, other = tmp_path / "model.safetensors", tmp_path / "other.pt"
    assert run(monkeypatch, "export", checkpoint, photos, "-o", model) == 0
    first = first_checkpoint(tiny(), INPUTS, pictures=2, start=None)
    state = {name: value.clone() for name, value in first.model_state.items()}
    state["h_s.4.bias"] += 20.0
    replace(first, model_state=state).write(other)
    assert run(monkeypatch, "check", model, photos, "--checkpoint", other) == 1


def test_a_folder_that_is_not_there_is_one_line(checkpoint, photos, tmp_path, monkeypatch, capsys):
    output = tmp_path / "absent" / "model.safetensors"
    assert run(monkeypatch, "export", checkpoint, photos, "-o", output) == 1
    err = capsys.readouterr().err
    assert "absent" in err
    assert len(err.strip().splitlines()) == 1


def test_a_full_disk_leaves_the_old_file(checkpoint, photos, tmp_path, monkeypatch, capsys):
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"the old one")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert run(monkeypatch, "export", checkpoint, photos, "-o", model) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert model.read_bytes() == b"the old one"
    assert list(tmp_path.glob("*.partial")) == []


@pytest.mark.parametrize("calibrated_on", ["dull pictures", "nothing"])
def test_no_activation_saturates_on_pictures_unlike_the_calibration_s(calibrated_on, tmp_path):
    start = load_start("default")
    dull = PhotoSet(["grey"], [np.full((64, 64, 3), 128, np.uint8)])
    data = export_model(
        start.model,
        calibration=calibration_crops(dull) if calibrated_on == "dull pictures" else None,
        quality_steps=101,
        training={},
    )
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    stripes = np.repeat((np.indices((128, 128))[0] // 4 % 2 * 255)[..., None], 3, axis=2)
    pictures = [noise(128, 128), scene(128, 192, 3), stripes.astype(np.uint8)]
    result = check_export(path, start.model, pictures)
    assert result.saturated == 0.0
    assert result.passed


def test_the_latents_tables_go_one_value_further_than_16_bits_resolve():
    tables = gaussian_tables()
    reach = -tables["offset"]
    # The smallest scale's own resolve zero alone: one is met all the same, and is no escape.
    assert int(reach[0]) == 1
    # As many values below zero as above it, and the escape.
    assert torch.equal(tables["num_symbols"], 2 * reach + 2)
    assert (tables["cumulative"][:, 1] == 1).all()
