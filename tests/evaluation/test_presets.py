"""The paper's tables as configurations, and a study of the teacher on a small picture."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pictures import scene
from ugicm_evaluation import cli
from ugicm_evaluation.codecs.updated import update
from ugicm_evaluation.config import Updated
from ugicm_evaluation.errors import MissingMaterial
from ugicm_evaluation.presets.benchmark import Setting
from ugicm_evaluation.presets.presets import PRESETS, Material, make_config
from ugicm_evaluation.presets.results import small_results
from ugicm_evaluation.runs.curves import PointsOfCodec
from ugicm_evaluation.runs.equal_bytes import at_rate
from ugicm_evaluation.runs.results import Figure, Point
from ugicm_training.teachers.protocol import Interpolation

EVERY = [(name, setting) for name in PRESETS for setting in Setting]


class Teacher:
    """Sees the means of a picture's patches."""

    description = "means"
    side = 8
    mean_colour = (0.5, 0.5, 0.5)
    interpolation = Interpolation.BILINEAR

    def embed(self, pictures):
        return torch.flatten(pictures, 1) - 0.5


def material(folder, setting, **more):
    """Return material of which everything is there, empty."""
    found = Material(folder, setting, **more)
    for preset in PRESETS.values():
        for need in preset.needs(found):
            need.path.parent.mkdir(parents=True, exist_ok=True)
            need.path.touch()
    return found


@pytest.mark.parametrize(("name", "setting"), EVERY)
def test_a_preset_is_a_run_of_files_below_its_folder(tmp_path, name, setting):
    found = material(tmp_path, setting, subset=7)
    config = make_config(name, found)
    assert {one.most for one in config.datasets} == {7}
    judges = {judge.name: judge for judge in config.judges}
    assert {key for one in config.datasets for key in one.judges} == set(judges)
    for judge in judges.values():
        assert f":{tmp_path}/weights/" in judge.analyzer
    # Whoever compares needs two to compare.
    assert len(config.codecs) >= 2


@pytest.mark.parametrize(("name", "setting"), EVERY)
def test_everything_that_lacks_is_named_with_where_it_belongs(tmp_path, name, setting):
    found = Material(tmp_path, setting)
    with pytest.raises(MissingMaterial) as caught:
        make_config(name, found)
    for need in PRESETS[name].needs(found):
        assert str(need.path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_papers_numbers_of_pictures_are_the_presets(tmp_path):
    found = material(tmp_path, Setting.PAPER)
    most = {name: make_config(name, found).datasets[0].most for name in PRESETS}
    assert most["classification"] == 25_000
    assert most["detection"] == 2150


def test_the_toy_study_updates_by_three_deltas(tmp_path):
    found = make_config("toy-study", material(tmp_path, Setting.PAPER))
    assert [one.delta for one in found.codecs if isinstance(one, Updated)] == [1, 2, 8]


def cosine(one, other):
    first, second = (np.asarray(each, np.float64).ravel() - 127.5 for each in (one, other))
    return first @ second / np.linalg.norm(first) / np.linalg.norm(second)


@pytest.mark.parametrize("delta", [1, 2, 8])
def test_an_update_moves_towards_the_original_and_no_further_than_delta(delta):
    original = scene(8, 8)
    decoded = np.clip(original.astype(int) + scene(8, 8, 5) // 8 - 16, 0, 255).astype(np.uint8)
    updated = update(decoded, original, Teacher(), delta=delta, steps=10)
    moved = np.abs(updated.astype(int) - decoded)
    assert moved.max() == delta
    assert cosine(updated, original) > cosine(decoded, original)


def test_the_results_use_what_the_report_keeps(tmp_path):
    config = small_results("default", tmp_path, "stand-in:t", every=2)
    (model,) = [one for one in config.codecs if one.name == "UG-ICM"]
    views = {quality: model.views_at(quality) for quality in model.qualities}
    assert views[15] == views[50] == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert views[0] == views[30] == views[75] == (0.0, 1.0)


def point(rate, value):
    figure = Figure(value=value, low=value, high=value, pictures=1)
    return Point(
        dataset="set", codec="c", quality=1, view=0, bits_per_pixel=rate, figures={"psnr": figure}
    )


def test_curves_are_read_between_their_points_and_not_beyond():
    curve = PointsOfCodec("c", [point(0.25, 30.0), point(1.0, 34.0)])
    assert at_rate(curve, "psnr", 0.5) == pytest.approx(32.0)
    assert at_rate(curve, "psnr", 1.0) == 34.0
    assert at_rate(curve, "psnr", 0.24) is None
    assert at_rate(curve, "psnr", 1.01) is None
    assert at_rate(curve, "ssim", 0.5) is None


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["ugicm-evaluate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_presets_are_listed(monkeypatch, capsys):
    assert command(monkeypatch, "preset", "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PRESETS)


def test_a_preset_says_what_is_there_and_what_is_not(tmp_path, monkeypatch, capsys):
    (tmp_path / "kodak").mkdir()
    Image.fromarray(scene(8, 8)).save(tmp_path / "kodak" / "kodim01.png")
    assert command(monkeypatch, "preset", "perception", "--explain", "--data", tmp_path) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path}/kodak: Kodak's pictures, there" in said
    assert "backbone.safetensors: the backbone, MISSING" in said
    assert "r0k.us" in said


def test_a_preset_without_its_data_is_one_clear_line(tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, "preset", "detection", "--data", tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith("ugicm-evaluate: detection lacks 3 of 3: ")
    assert error.count("\n") == 1
