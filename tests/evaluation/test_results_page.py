"""The page of results, made of a run whose figures are known."""

import sys

import pytest

from ugicm_evaluation import cli
from ugicm_evaluation.commands import results as command
from ugicm_evaluation.presets.page import page
from ugicm_evaluation.presets.results import small_results
from ugicm_evaluation.runs.curves import PointsOfCodec
from ugicm_evaluation.runs.equal_bytes import at_rate
from ugicm_evaluation.runs.results import (
    CodecFacts,
    DatasetFacts,
    Figure,
    MetricFacts,
    Point,
    Run,
    SkippedPicture,
    read_run,
)
from ugicm_evaluation.tasks.protocol import Better

AP = "eye: mAP@50"


def figure(value):
    return Figure(value=value, low=value - 1, high=value + 1, pictures=2)


def point(codec, quality, rate, *, dataset="photos", view=0.0, **figures):
    found = {name: figure(value) for name, value in figures.items()}
    return Point(
        dataset=dataset, codec=codec, quality=quality, view=view, bits_per_pixel=rate, figures=found
    )


def model(quality, rate, psnr):
    views = (0.0, 0.5, 1.0) if quality in (15, 50) else (0.0, 1.0)
    return [point("UG-ICM", quality, rate, view=view, psnr=psnr - view) for view in views]


@pytest.fixture
def run():
    # JPEG needs twice the rate for the same figure everywhere.
    rates = {0: (0.2, 26.0), 15: (0.25, 27.0), 30: (0.4, 29.0), 50: (0.5, 30.0), 75: (0.8, 33.0)}
    points = [one for quality, values in rates.items() for one in model(quality, *values)]
    points += [point("JPEG", q, 2 * rate, psnr=psnr) for q, (rate, psnr) in rates.items()]
    toy = {"dataset": "toy-study", "psnr": 27.0}
    points += [
        point("human view", 15, 0.25, **toy, **{AP: 40.0}),
        point("updated, delta 1", 15, 0.25, **toy, **{AP: 42.5}),
    ]
    sets = [("photos", 1, {}), ("toy-study", 6, {AP: figure(50.0)})]
    return Run(
        name="results",
        command="ugicm-evaluate results ...",
        config={"datasets": [{"name": name, "every": every} for name, every, _ in sets]},
        versions={},
        draws=200,
        seed=0,
        metrics={
            "psnr": MetricFacts(title="PSNR", unit="dB", better=Better.HIGHER),
            AP: MetricFacts(title="mAP@50", unit="%", better=Better.HIGHER, judge="eye"),
        },
        datasets=[
            DatasetFacts(name=name, pictures=2, reduced=0, sha256="0" * 64, originals=originals)
            for name, _, originals in sets
        ],
        codecs=[CodecFacts(name="UG-ICM", identity="one model")],
        judges=[],
        points=points,
        pictures=[],
        skipped=[SkippedPicture(dataset="photos", picture="broken.png", reason="no picture")],
    )


def test_codecs_are_compared_at_the_models_rates(run):
    text = page(run, [], "results/tables.md")
    assert (
        "| at 0.250 bits per pixel | PSNR, dB |\n| --- | ---: |\n| UG-ICM, view 0 | 27.00 |" in text
    )
    # JPEG at 0.5 is as good as the model at 0.25; below 0.4 it was not measured.
    below, at = text.split("| at 0.500 bits per pixel |")
    assert "| JPEG |  |" in below
    assert "| JPEG | 27.00 |" not in below
    assert "| UG-ICM, view 1 | 29.00 |\n| JPEG | 27.00 |" in at
    assert "view 0.5" not in text  # swept at two qualities: no curve


def test_the_model_needs_half_of_the_bytes(run):
    assert "| UG-ICM, view 0 | -50.0 |" in page(run, [], "results/tables.md")


def test_the_toy_study_stands_beside_the_originals(run):
    text = page(run, [], "results/tables.md")
    assert "2 pictures, one of each 6 in the folder" in text
    assert (
        "| updated, delta 1 | 15 | 0.2500 | 27.00 [26.00, 28.00] | 42.50 [41.50, 43.50] |" in text
    )
    assert "| uncompressed |  |  |  | 50.00 [49.00, 51.00] |" in text


def test_the_command_writes_the_page_its_plots_and_its_tables(run, tmp_path, monkeypatch):
    wanted = []

    def make_run(config, *, command, cache, processes):
        wanted.append((config, command))
        return run

    monkeypatch.setattr(command, "make_run", make_run)
    docs, data = tmp_path / "docs", tmp_path / "data"
    data.mkdir()
    words = ["results", "default", "--data", data, "--teacher", "stand-in:/x/t", "--every", "3"]
    words += ["-o", docs, "--run", tmp_path / "run.json"]
    monkeypatch.setattr(sys, "argv", ["ugicm-evaluate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    ((config, said),) = wanted
    assert config == small_results("default", data, "stand-in:/x/t", every=3)
    assert said.startswith("ugicm-evaluate results default --data data/ ")
    plots = {
        f"photos-{kind}.{kind_of}"
        for kind in ("rate-distortion", "views")
        for kind_of in ("png", "svg")
    }
    assert {one.name for one in (docs / "results").iterdir()} == {"tables.md", "tables.csv", *plots}
    text = (docs / "results.md").read_text()
    for name in ("photos-rate-distortion.png", "photos-views.png", "tables.md"):
        assert f"(results/{name})" in text
    assert "- photos/broken.png: no picture" in text
    assert read_run(tmp_path / "run.json") == run


def test_every_view_is_swept_at_two_qualities(tmp_path):
    config = small_results("default", tmp_path, "stand-in:t", every=2)
    (ours,) = [one for one in config.codecs if one.name == "UG-ICM"]
    views = {quality: ours.views_at(quality) for quality in ours.qualities}
    assert views[15] == views[50] == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert views[0] == views[30] == views[75] == (0.0, 1.0)
    every = {one.name: one.every for one in config.datasets}
    assert every == {"photos": 1, "imagenet": 2, "coco": 2, "toy-study": 6}


def test_curves_are_read_between_their_points_and_not_beyond():
    curve = PointsOfCodec("c", [point("c", 1, 0.25, psnr=30.0), point("c", 2, 1.0, psnr=34.0)])
    assert at_rate(curve, "psnr", 0.5) == pytest.approx(32.0)
    assert at_rate(curve, "psnr", 1.0) == 34.0
    assert at_rate(curve, "psnr", 0.24) is None
    assert at_rate(curve, "psnr", 1.01) is None
    assert at_rate(curve, "ssim", 0.5) is None
