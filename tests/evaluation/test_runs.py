"""A run of several codecs on handfuls of small pictures, some of them damaged."""

import csv
import io
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from skimage.metrics import peak_signal_noise_ratio

import torchvision_cpu
from tests.codec.conftest import TINY
from tests.pictures import scene
from ugicm_evaluation import cli
from ugicm_evaluation.codecs.classical import JPEG
from ugicm_evaluation.runs.results import read_run

PHOTOS, LABELLED = 3, 4

CONFIG = f"""
name = "small"
draws = 200

[[datasets]]
kind = "pictures"
name = "photos"
folder = "photos"
metrics = ["psnr", "ms-ssim"]

[[datasets]]
kind = "class-folders"
name = "classes"
folder = "classes"
classes = "classes.txt"
judges = ["squeezenet"]

[[codecs]]
kind = "pillow"
name = "JPEG"
format = "jpeg"
qualities = [10, 30, 60, 90]

[[codecs]]
kind = "decoded"
name = "theirs"
datasets = ["photos"]
table = "theirs/table.csv"

[[codecs]]
kind = "model"
name = "ours"
datasets = ["classes"]
model = {json.dumps(str(TINY))}
qualities = [50]
views = [0, 0.5, 1]

[[judges]]
kind = "analyzer"
name = "squeezenet"
analyzer = "torchvision:squeezenet1_1:squeezenet.safetensors"
"""


def save(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene(48, 64, seed)).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, of which one is damaged, and the results of another codec, of which one lacks."""
    import torch

    torchvision_cpu.ensure()
    from torchvision.models import squeezenet1_1

    folder = tmp_path_factory.mktemp("run")
    rows = ["picture,quality,bytes,file"]
    (folder / "theirs").mkdir()
    for seed in range(PHOTOS + 1):
        save(folder / "photos" / f"photo-{seed}.png", seed)
        for quality in (1, 2, 3, 4) if seed < PHOTOS else (1, 2, 3):
            noise = np.random.default_rng(seed).integers(-20, 21, (48, 64, 3)) // quality
            decoded = np.clip(scene(48, 64, seed) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(decoded).save(folder / "theirs" / f"{seed}-{quality}.png")
            rows.append(f"photo-{seed},{quality},{400 * quality + seed},{seed}-{quality}.png")
    (folder / "theirs" / "table.csv").write_text("\n".join(rows))
    broken = save(folder / "photos" / "broken.png", 9)
    broken.write_bytes(broken.read_bytes()[:500])
    for seed in range(LABELLED):
        save(folder / "classes" / f"n0{seed % 2}" / f"{seed}.png", seed)
    torch.manual_seed(0)
    save_file(squeezenet1_1().state_dict(), folder / "squeezenet.safetensors")
    (folder / "classes.txt").write_text("n00 tench\nn01 goldfish\n")
    (folder / "run.toml").write_text(CONFIG)
    return folder


def command(*arguments):
    saved, sys.argv = sys.argv, ["ugicm-evaluate", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = saved
    return ended.value.code


def run(folder, output):
    return command(
        "run", folder / "run.toml", "-o", output, "--cache", folder / "cache", "--processes", 1
    )


@pytest.fixture(scope="module")
def path(folder):
    path = folder / "small.json"
    assert run(folder, path) == 0
    return path


@pytest.fixture(scope="module")
def found(path):
    return read_run(path)


def points(found, codec, dataset="photos"):
    return [one for one in found.points if (one.codec, one.dataset) == (codec, dataset)]


def test_figures_are_means_of_whole_files(found):
    pictures = [scene(48, 64, seed) for seed in range(PHOTOS)]
    for point in points(found, "JPEG"):
        files = [JPEG.encode(one, point.quality) for one in pictures]
        values = [
            peak_signal_noise_ratio(one, JPEG.decode(file, (0.0,))[0])
            for one, file in zip(pictures, files, strict=True)
        ]
        rate = np.mean([8 * len(file) / (48 * 64) for file in files])
        assert point.bits_per_pixel == pytest.approx(rate)
        psnr = point.figures["psnr"]
        assert psnr.value == pytest.approx(np.mean(values))
        assert min(values) - 1e-9 <= psnr.low <= psnr.value <= psnr.high <= max(values) + 1e-9


def test_another_codecs_pictures_have_the_bytes_of_its_table(found):
    for point in points(found, "theirs"):
        mean = np.mean([400 * point.quality + seed for seed in range(PHOTOS)])
        assert point.bits_per_pixel == pytest.approx(8 * mean / (48 * 64))
    values = [point.figures["psnr"].value for point in points(found, "theirs")]
    assert values == sorted(values)


def test_a_metric_that_no_picture_has_is_no_number(found):
    assert all(one.figures["ms-ssim"].value is None for one in points(found, "JPEG"))
    assert found.metrics["ms-ssim"].title == "MS-SSIM"


def test_judges_are_scored_at_every_view(found):
    swept = points(found, "ours", "classes")
    assert [one.view for one in swept] == [0.0, 0.5, 1.0]
    assert len({one.bits_per_pixel for one in swept}) == 1
    names = {name for name, facts in found.metrics.items() if facts.judge == "squeezenet"}
    assert {"squeezenet: top-1", "squeezenet: agreement"} < names
    for one in swept:
        assert names < set(one.figures)
    (originals,) = [one.originals for one in found.datasets if one.name == "classes"]
    assert originals["squeezenet: agreement"].value == 100.0


def test_means_are_those_of_the_rows(found):
    for point in found.points:
        rows = [
            one
            for one in found.pictures
            if (one.dataset, one.codec, one.quality, one.view)
            == (point.dataset, point.codec, point.quality, point.view)
        ]
        assert len(rows) == (PHOTOS if point.dataset == "photos" else LABELLED)
        rate = np.mean([8 * one.bytes / one.pixels for one in rows])
        assert point.bits_per_pixel == pytest.approx(rate)
        for name, figure in point.figures.items():
            if figure.value is not None:
                mean = np.mean([one.figures[name] for one in rows])
                assert figure.value == pytest.approx(mean)


def test_pictures_that_fail_are_skipped_and_named(found):
    skipped = {one.picture: one.reason for one in found.skipped}
    assert set(skipped) == {"broken.png", f"photo-{PHOTOS}.png"}
    assert skipped[f"photo-{PHOTOS}.png"].startswith("table.csv has no row of photo-3.png")
    assert {one.name: one.pictures for one in found.datasets} == {
        "photos": PHOTOS,
        "classes": LABELLED,
    }


def test_what_decides_the_figures_is_written_and_no_folder_is(found, folder, path):
    assert all(len(one.sha256) == 64 for one in found.datasets)
    assert all(one.identity for one in found.codecs)
    assert {"torch", "pillow", "ugicm-codec", "python"} < set(found.versions)
    assert found.command == "ugicm-evaluate run run.toml -o small.json"
    assert found.config["codecs"][2]["model"] == TINY.name
    assert str(folder) not in path.read_text()
    assert str(TINY.parent) not in path.read_text()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(folder, path):
    cache = folder / "cache"
    kept = {file: file.stat().st_mtime_ns for file in cache.rglob("*") if file.is_file()}
    lost = [file for file in sorted(kept) if file.suffix == ".npz"][::3]
    for file in lost:
        file.unlink()
        del kept[file]
    again = folder / "again" / "small.json"
    again.parent.mkdir()
    assert run(folder, again) == 0
    assert again.read_bytes() == path.read_bytes()
    assert all(file.exists() for file in lost)
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_tables_hold_every_point(folder, path, found):
    assert command("tables", path, "-o", folder / "tables") == 0
    rows = list(csv.DictReader(io.StringIO((folder / "tables" / "tables.csv").read_text())))
    assert len(rows) == sum(len(one.figures) for one in found.points)
    (row,) = [
        one
        for one in rows
        if (one["codec"], one["quality"], one["metric"]) == ("theirs", "4", "psnr")
    ]
    assert float(row["value"]) == points(found, "theirs")[-1].figures["psnr"].value
    page = (folder / "tables" / "tables.md").read_text()
    assert "## photos" in page
    assert "| ours, view 0.5 | 50 |" in page
    assert "| uncompressed |" in page
    assert "- photos/broken.png: " in page
    assert "MS-SSIM" not in page  # no picture has one


def test_plots_are_drawn_twice(folder, path):
    assert command("plot", path, "-o", folder / "plots") == 0
    names = {file.name for file in (folder / "plots").iterdir()}
    assert names == {
        f"{name}{suffix}"
        for name in (
            "photos-rate-distortion",
            "classes-rate-distortion",
            "classes-rate-accuracy",
            "classes-views",
        )
        for suffix in (".png", ".svg")
    }
    with Image.open(folder / "plots" / "classes-views.png") as image:
        image.load()
        assert min(image.size) > 300
    drawn = (folder / "plots" / "photos-rate-distortion.svg").read_text()
    assert ">theirs<" in drawn


def test_curves_of_runs_and_published_ones_are_compared(folder, path, capsys):
    curve = {"bpp": [0.2, 0.5, 1.0, 2.0, 3.0], "psnr-rgb": [20.0, 25.0, 30.0, 35.0, 40.0]}
    (folder / "published.json").write_text(json.dumps({"results": curve}))
    options = ("--dataset", "photos", "--published", folder / "published.json")
    assert command("bd", path, *options, "--anchor", "JPEG") == 0
    table = capsys.readouterr().out
    assert "| against JPEG, psnr | BD-rate | BD-metric |" in table
    assert table.count(" dB |") == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--anchor", "VVC"], "--dataset names one of photos, classes"),
        (["--dataset", "photos", "--anchor", "VVC"], "no curve is called 'VVC'; there are JPEG,"),
        (["--dataset", "photos", "--anchor", "JPEG", "--metric", "x"], "photos has no metric 'x'"),
    ],
)
def test_a_delta_of_nothing_is_one_clear_line(path, capsys, arguments, complaint):
    assert command("bd", path, *arguments) == 1
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["{}", "no json", '{"format": "another"}'])
def test_a_file_that_holds_no_run_is_one_clear_line(tmp_path, capsys, text):
    (tmp_path / "run.json").write_text(text)
    assert command("tables", tmp_path / "run.json") == 1
    error = capsys.readouterr().err
    assert "run.json holds no run: " in error
    assert error.count("\n") == 1


def test_a_part_of_the_classes_is_not_numbered_by_itself(folder, capsys):
    (folder / "part.toml").write_text(CONFIG.replace('classes = "classes.txt"', ""))
    assert command("run", folder / "part.toml", "-o", folder / "part.json") == 1
    error = capsys.readouterr().err
    assert "classes has folders of 2 classes, and squeezenet tells 1000 apart: name a file" in error
    assert error.count("\n") == 1


def test_a_judge_that_is_not_to_be_had_stops_the_run_at_once(folder, tmp_path, capsys):
    for name in ("photos", "classes", "theirs"):
        shutil.copytree(folder / name, tmp_path / name)
    shutil.copy(folder / "classes.txt", tmp_path)
    (tmp_path / "run.toml").write_text(CONFIG)
    assert run(tmp_path, tmp_path / "run.json") == 1
    error = capsys.readouterr().err
    assert "squeezenet" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run.json").exists()
    assert not (tmp_path / "cache").exists()
