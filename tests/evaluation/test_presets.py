"""The paper's tables as configurations of runs."""

import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import torchvision_cpu
from tests.codec.conftest import TINY
from tests.pictures import scene
from ugicm_evaluation import cli
from ugicm_evaluation.config import Updated
from ugicm_evaluation.errors import MissingMaterial
from ugicm_evaluation.presets.benchmark import Setting
from ugicm_evaluation.presets.presets import PRESETS, Material, make_config
from ugicm_evaluation.runs.results import read_run

EVERY = [(name, setting) for name in PRESETS for setting in Setting]


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
    assert most["detection"] == most["views"] == most["clip-scales"] == 2150
    assert most["instance-segmentation"] is most["perception"] is None  # val2017, Kodak's 24
    assert most["toy-study"] == 3000


def test_human_and_machine_view_are_compared_in_mean_average_precision_and_pixels(tmp_path):
    found = make_config("views", material(tmp_path, Setting.PAPER))
    objects, pixels = found.datasets
    assert objects.judges == ("YOLOv3",)
    assert pixels.metrics == ("psnr", "ssim", "lpips")


@pytest.mark.parametrize("name", ["detection", "views", "clip-scales", "toy-study"])
def test_models_of_one_rate_each_make_one_curve(tmp_path, name):
    names = {what: [tmp_path / f"{what}-{n}" for n in range(4)] for what in "mbs"}
    files = {what: tuple(paths) for what, paths in names.items()}
    models = tuple(map(str, files["m"]))
    more = {"models": models, "backbones": files["b"], "single_scale": files["s"]}
    found = make_config(name, material(tmp_path, Setting.PAPER, **more))
    for codec in found.codecs:
        assert codec.qualities == (0, 1, 2, 3)
        assert len(codec.model) == 4


def test_the_toy_study_updates_by_three_deltas(tmp_path):
    found = make_config("toy-study", material(tmp_path, Setting.PAPER))
    assert [one.delta for one in found.codecs if isinstance(one, Updated)] == [1, 2, 8]


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


def test_a_preset_runs_on_a_part_of_a_small_folder(tmp_path, monkeypatch):
    torchvision_cpu.ensure()
    from torchvision.models import squeezenet1_1

    for folder in ("photos", "weights"):
        (tmp_path / folder).mkdir()
    for seed in range(3):
        Image.fromarray(scene(64, 72, seed)).save(tmp_path / "photos" / f"{seed}.png")
    torch.manual_seed(0)
    save_file(squeezenet1_1().state_dict(), tmp_path / "weights" / "squeezenet1_1.safetensors")
    output = tmp_path / "perception.json"
    words = ["preset", "perception", "--setting", "small", "--data", tmp_path, "--subset", 2]
    words += ["--backbone", TINY, "-o", output, "--cache", tmp_path / "cache", "--processes", 1]
    assert command(monkeypatch, *words) == 0
    found = read_run(output)
    assert {one.picture for one in found.pictures} == {"0.png", "1.png"}
    assert {(one.codec, one.view) for one in found.points} == {
        ("backbone", 0.0),
        ("UG-ICM", 0.0),
        ("UG-ICM", 1.0),
    }
    for point in found.points:
        assert all(figure.value is not None for figure in point.figures.values())
        assert set(point.figures) == {"psnr", "ssim", "lpips"}
    assert str(tmp_path) not in output.read_text()
