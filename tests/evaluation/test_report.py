"""A whole report on a handful of small pictures, some of them damaged."""

import json
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from skimage.metrics import peak_signal_noise_ratio

import torchvision_cpu
from tests.pictures import scene
from ugicm_codec import Codec
from ugicm_evaluation import cli

QUALITIES = (0, 40, 70, 100)
PHOTOS = 3
LABELLED = 4


def picture(folder, name, seed):
    path = folder / name
    Image.fromarray(scene(72, 96, seed)).save(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with a truncated photo, and a labelled picture that is missing."""
    import torch
    from torchvision.models import squeezenet1_1

    torchvision_cpu.ensure()
    folder = tmp_path_factory.mktemp("data")
    for name in ("photos", "imagenet", "weights"):
        (folder / name).mkdir()
    for seed in range(PHOTOS):
        picture(folder / "photos", f"photo-{seed}.png", seed)
    broken = picture(folder / "photos", "broken.png", 9)
    broken.write_bytes(broken.read_bytes()[:500])
    labels = {"missing.png": 3}
    for seed in range(LABELLED):
        picture(folder / "imagenet", f"labelled-{seed}.png", seed)
        labels[f"labelled-{seed}.png"] = seed
    (folder / "imagenet" / "labels.json").write_text(json.dumps(labels))
    torch.manual_seed(0)
    halves = {name: value.half() for name, value in squeezenet1_1().state_dict().items()}
    save_file(halves, folder / "weights" / "squeezenet1_1.safetensors")
    return folder


def command(data, out, *more, model="default"):
    qualities = ",".join(str(quality) for quality in QUALITIES)
    return [
        "ugicm-evaluate", "report", str(model), "--data", str(data), "-o", str(out),
        "--cache", str(out.parent / "cache"), "--rate-qualities", qualities,
        "--qualities", "0,70", "--sweep-qualities", "0", "--draws", "200", "--processes", "1",
        *more,
    ]  # fmt: skip


def run(arguments):
    saved, sys.argv = sys.argv, arguments
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = saved
    return ended.value.code


@pytest.fixture(scope="module")
def out(data, tmp_path_factory):
    from tests.codec.conftest import TINY

    folder = tmp_path_factory.mktemp("report") / "docs"
    folder.mkdir()
    (folder / "models.md").write_text("# Models\n\nWhat stands here stays.\n")
    assert run(command(data, folder, "--baseline", str(TINY), "--name", "small")) == 0
    return folder


@pytest.fixture(scope="module")
def found(out):
    return json.loads((out / "results" / "small.json").read_text())


def test_the_curves_are_those_of_whole_files(found, data):
    codec = Codec.load("default")
    pictures = [scene(72, 96, seed) for seed in range(PHOTOS)]
    for view, name in ((0.0, "human"), (1.0, "machine")):
        for quality, point in zip(QUALITIES, found["rate_distortion"]["curves"][name], strict=True):
            streams = [codec.encode(one, quality) for one in pictures]
            rate = np.mean([8 * len(stream) / (72 * 96) for stream in streams])
            psnr = np.mean(
                [
                    peak_signal_noise_ratio(one, codec.decode(stream, view))
                    for one, stream in zip(pictures, streams, strict=True)
                ]
            )
            assert point["quality"] == quality
            assert point["bits_per_pixel"] == pytest.approx(rate)
            assert point["psnr"] == pytest.approx(psnr, abs=1e-6)


def test_pictures_that_fail_are_skipped_counted_and_named(found, out):
    skipped = {f"{one['dataset']}/{one['key']}": one["reason"] for one in found["skipped"]}
    assert set(skipped) == {"photos/broken.png", "imagenet/missing.png"}
    assert "No such file" in skipped["imagenet/missing.png"]
    assert {one["name"]: one["pictures"] for one in found["datasets"]} == {
        "photos": PHOTOS,
        "imagenet": LABELLED,
    }
    assert "Skipped pictures, 2: photos/broken.png (" in (out / "models.md").read_text()


def test_the_baseline_takes_at_most_the_bytes_of_the_model(found):
    rates = found["rate_distortion"]
    over = rates["baseline_over_budget"]
    streams = PHOTOS * len(QUALITIES)
    assert 0 <= over <= streams
    assert rates["human_over_baseline"]["value"] > 3.0  # the other model is not trained


def test_every_difference_has_an_interval_around_it(found):
    rows = [row for one in found["judged"] for row in one["rows"]]
    assert len(rows) == 6 * 3  # PSNR and five figures of the classifier; two qualities, the mean
    for row in rows:
        for name, other in (("over_human", "human"), ("over_baseline", "baseline")):
            assert row[name]["value"] == pytest.approx(row["machine"] - row[other])
            assert row[name]["low"] <= row[name]["value"] + 1e-9
            assert row[name]["value"] - 1e-9 <= row[name]["high"]


def test_a_mean_is_that_of_its_qualities(found):
    for judged in found["judged"]:
        *qualities, mean = judged["rows"]
        assert mean["quality"] is None
        assert mean["machine"] == pytest.approx(np.mean([row["machine"] for row in qualities]))


def test_the_view_is_swept_at_five_positions(found):
    for judged in found["judged"]:
        assert [row["view"] for row in judged["views"]] == [0.0, 0.25, 0.5, 0.75, 1.0]
        assert judged["views"][0]["value"] == pytest.approx(judged["rows"][0]["human"])
        assert judged["views"][-1]["value"] == pytest.approx(judged["rows"][0]["machine"])


def test_what_was_not_measured_is_named(found):
    assert found["left_out"] == [
        "similarity in CLIP space: no teacher was given",
        "detection and segmentation: the data folder has no coco/",
    ]


def test_the_page_shows_every_picture_and_keeps_what_stood_there(out):
    page = (out / "models.md").read_text()
    assert page.startswith("# Models\n\nWhat stands here stays.\n")
    for name in ("rate-distortion.png", "judges.png", "views.png", "contact-sheet.jpg"):
        assert f"](results/small-{name})" in page
        with Image.open(out / "results" / f"small-{name}") as image:
            image.load()
            assert min(image.size) > 300


def test_the_page_says_how_it_is_made_again(found):
    words = found["command"].split()
    assert words[:3] == ["ugicm-evaluate", "report", "default"]
    for option, value in (("--name", "small"), ("--qualities", "0,70"), ("--draws", "200")):
        assert words[words.index(option) + 1] == value


def test_no_folder_of_this_machine_is_written(out, data):
    written = [path.read_text() for path in (out / "models.md", out / "results" / "small.json")]
    assert not any(str(data.parent) in text or str(out.parent) in text for text in written)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(out, data):
    from tests.codec.conftest import TINY

    cache = out.parent / "cache"
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    lost = [path for path in sorted(kept) if path.suffix == ".npz"][::3]
    for path in lost:
        path.unlink()
        del kept[path]
    page = (out / "models.md").read_bytes()
    assert run(command(data, out, "--baseline", str(TINY), "--name", "small")) == 0
    assert (out / "models.md").read_bytes() == page
    assert all(path.exists() for path in lost)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (lambda folder: None, "holds none of photos/, imagenet/ and coco/"),
        (lambda folder: (folder / "photos").mkdir(), "photos holds no picture files"),
        (lambda folder: (folder / "coco").mkdir(), "instances.json holds no COCO annotations"),
    ],
)
def test_a_data_folder_without_data_is_one_clear_line(tmp_path, capsys, prepare, complaint):
    data, out = tmp_path / "data", tmp_path / "docs"
    data.mkdir()
    prepare(data)
    assert run(command(data, out)) == 1
    error = capsys.readouterr().err
    assert error.startswith("ugicm-evaluate: ")
    assert error.count("\n") == 1
    assert complaint in error
    assert not out.exists()


def test_an_unknown_model_is_one_clear_line(data, tmp_path, capsys):
    out = tmp_path / "docs"
    assert run(command(data, out, model=tmp_path / "absent.safetensors")) == 1
    error = capsys.readouterr().err
    assert error.startswith("ugicm-evaluate: ")
    assert "absent.safetensors" in error
    assert not out.exists()


@pytest.mark.slow
def test_a_set_of_damaged_pictures_only_is_one_clear_line(tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "docs"
    (data / "photos").mkdir(parents=True)
    (data / "photos" / "a.png").write_bytes(b"no picture")
    assert run(command(data, out)) == 1
    assert "no picture of photos could be measured: a.png: " in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--qualities", "0,x", "integers with commas between"),
        ("--qualities", "0,101", "from 0 to 100"),
        ("--sweep-qualities", "5", "--sweep-qualities are some of --qualities"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_measured(
    data, tmp_path, capsys, option, value, complaint
):
    assert run(command(data, tmp_path / "docs", option, value)) == 2
    assert complaint in capsys.readouterr().err
