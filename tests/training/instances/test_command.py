"""``ugicm-train masks``: what it writes, goes on with, and refuses."""

import io
import json
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from PIL import Image
from pycocotools import mask as coco

from tests.pictures import scene
from ugicm_training.cli import cli
from ugicm_training.errors import BadDataset, BadMasks, EmptyDataset
from ugicm_training.instances.classical import ColourRegions
from ugicm_training.instances.rle import PictureMasks
from ugicm_training.instances.store import MaskStore


def red_square_on_blue():
    picture = np.zeros((80, 100, 3), np.uint8)
    picture[..., 2] = 200
    picture[20:50, 30:70] = (200, 0, 0)
    return picture


def as_png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


def masks_of(photos, output, *options):
    result = CliRunner().invoke(cli, ["masks", str(photos), "-o", str(output), *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def content(path):
    with MaskStore.open(path) as store:
        return {name: store.find(name) for name in store.names()}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "square.png").write_bytes(as_png(red_square_on_blue()))
    with tarfile.open(folder / "shard.tar", "w") as shard:
        for name, data in (
            ("0001/scene.png", as_png(scene(60, 72))),
            ("0001/scene.json", b"{}"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))
    return folder


def test_an_object_of_its_own_colour_is_found(photos, tmp_path):
    masks_of(photos, tmp_path / "masks")
    found = content(tmp_path / "masks")["square.png"].decode()
    square = np.zeros((80, 100), bool)
    square[20:50, 30:70] = True
    overlap = (found & square).sum((1, 2)) / (found | square).sum((1, 2))
    assert overlap.max() > 0.95


def test_pictures_in_folders_and_shards_go_by_their_names(photos, tmp_path):
    masks_of(photos, tmp_path / "masks")
    known = content(tmp_path / "masks")
    assert {name: (it.height, it.width) for name, it in known.items()} == {
        "square.png": (80, 100),
        "scene.png": (60, 72),
    }


def test_a_second_run_only_segments_what_was_added(photos, tmp_path, monkeypatch):
    masks_of(photos, tmp_path / "masks")
    before = content(tmp_path / "masks")
    (photos / "added.png").write_bytes(as_png(scene(48, 48, 3)))
    segmented = []
    original = ColourRegions.segment

    def spy(self, name, picture):
        segmented.append(name)
        return original(self, name, picture)

    monkeypatch.setattr(ColourRegions, "segment", spy)
    masks_of(photos, tmp_path / "masks")
    after = content(tmp_path / "masks")
    assert segmented == ["added.png"]
    assert after == before | {"added.png": after["added.png"]}


def test_unreadable_pictures_are_skipped_counted_and_named_once(photos, tmp_path, caplog):
    (photos / "broken.jpg").write_bytes(b"no picture")
    (photos / "cut.png").write_bytes(as_png(scene(64, 64))[:500])
    with caplog.at_level("WARNING"):
        masks_of(photos, tmp_path / "masks")
    assert [line for line in caplog.messages if "unreadable" in line] == [
        "skipped 2 unreadable pictures, the first is broken.jpg"
    ]
    assert set(content(tmp_path / "masks")) == {"square.png", "scene.png"}


def test_a_picture_without_instances_is_kept_as_such_and_named(tmp_path, caplog):
    (tmp_path / "plain.png").write_bytes(as_png(np.full((40, 40, 3), 90, np.uint8)))
    with caplog.at_level("WARNING"):
        masks_of(tmp_path, tmp_path / "masks")
    assert caplog.messages == ["found nothing in 1 pictures, the first is plain.png"]
    assert content(tmp_path / "masks") == {"plain.png": PictureMasks(40, 40, ())}


def test_what_was_segmented_before_an_error_is_kept(photos, tmp_path):
    instances = [{"image_id": "square", "segmentation": {"size": [5, 5], "counts": [25]}}]
    (tmp_path / "other.json").write_text(json.dumps(instances))
    options = ("--segmenter", "coco", "--annotations", str(tmp_path / "other.json"))
    with pytest.raises(
        BadMasks, match=r"other\.json, picture square\.png: masks of 5x5 pixels for one of 80x100"
    ):
        masks_of(photos, tmp_path / "masks", *options)
    assert content(tmp_path / "masks") == {"scene.png": PictureMasks(60, 72, ())}


def test_masks_of_two_segmenters_are_never_mixed(photos, tmp_path):
    masks_of(photos, tmp_path / "masks")
    (tmp_path / "other.json").write_text("[]")
    options = ("--segmenter", "coco", "--annotations", str(tmp_path / "other.json"))
    with pytest.raises(BadMasks, match=r"holds masks of colour regions .*, not of masks of other"):
        masks_of(photos, tmp_path / "masks", *options)


def test_masks_made_elsewhere_are_taken_over(photos, tmp_path):
    square = np.zeros((80, 100), np.uint8)
    square[20:50, 30:70] = 1
    runs = coco.encode(np.asfortranarray(square))
    results = [
        {
            "image_id": "square.png",
            "segmentation": {"size": [80, 100], "counts": runs["counts"].decode()},
            "score": 0.7,
        }
    ]
    (tmp_path / "freesolo.json").write_text(json.dumps(results))
    options = ("--segmenter", "coco", "--annotations", str(tmp_path / "freesolo.json"))
    masks_of(photos, tmp_path / "masks", *options)
    known = content(tmp_path / "masks")
    assert known["square.png"] == PictureMasks(80, 100, (runs["counts"],))
    assert known["scene.png"].counts == ()


def test_two_pictures_of_one_name_are_refused(photos, tmp_path):
    (photos / "again").mkdir()
    (photos / "again" / "square.png").write_bytes(as_png(scene(48, 48)))
    with pytest.raises(BadDataset, match=r"2 pictures under .* are named square\.png"):
        masks_of(photos, tmp_path / "masks")
    assert not (tmp_path / "masks").exists()


def test_an_empty_set_is_refused(tmp_path):
    with pytest.raises(EmptyDataset, match="no picture under"):
        masks_of(tmp_path, tmp_path / "masks")
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize("choice", ["fastsam", "sam"])
def test_a_network_needs_weights(photos, tmp_path, choice):
    result = masks_of(photos, tmp_path / "masks", "--segmenter", choice)
    assert result.exit_code == 2
    assert f"--segmenter {choice} needs --weights" in result.output


def test_masks_made_elsewhere_need_their_file(photos, tmp_path):
    result = masks_of(photos, tmp_path / "masks", "--segmenter", "coco")
    assert result.exit_code == 2
    assert "--segmenter coco needs --annotations" in result.output


def test_an_output_that_is_something_else_is_left_alone(photos, tmp_path):
    (tmp_path / "notes.txt").write_text("not masks")
    with pytest.raises(BadMasks, match=r"notes\.txt: file is not a database"):
        masks_of(photos, tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "not masks"


def test_an_output_in_no_folder_is_one_clear_line(photos, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*/missing"):
        masks_of(photos, tmp_path / "missing" / "masks")


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was_and_leaves_no_process(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(150):
        Image.fromarray(scene(256, 256, seed)).save(photos / f"{seed:03}.jpg")
    output = tmp_path / "masks"
    command = [sys.executable, "-c", "from ugicm_training.cli import main; main()", "masks"]
    run = subprocess.Popen(
        [*command, str(photos), "-o", str(output), "--processes", "2"], stderr=subprocess.DEVNULL
    )
    wait_for_masks(output, run)
    workers = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGKILL)
    run.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []

    half = content(output)
    assert 0 < len(half) < 150
    result = masks_of(photos, output)
    assert "masks of 150 pictures" in result.output
    whole = content(output)
    assert half.items() <= whole.items()
    masks_of(photos, tmp_path / "at-once")
    assert whole == content(tmp_path / "at-once")


def wait_for_masks(output, run):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and run.poll() is None:
        if output.exists() and output.stat().st_size:
            try:
                if content(output):
                    return
            except BadMasks:  # begun this very moment
                pass
        time.sleep(0.05)
    pytest.fail(f"no masks were written; the run ended with {run.poll()}")
