"""Pictures come in an order that seed and step decide, wherever they are kept."""

import itertools
import tarfile

import pytest
import torch
from PIL import Image

from tests.pictures import scene
from tests.training.runs import write_photos
from ugicm_training.data import Order, Storage, open_pictures
from ugicm_training.errors import BadDataset, EmptyDataset, UnreadableShard

CPU = torch.device("cpu")


def open_at(source, storage, *, held_out=1, workers=0):
    return open_pictures(
        source, storage, minimum_side=64, held_out=held_out, device=CPU, workers=workers
    )


def order(**changes):
    return Order(**{"seed": 1, "stage": 0, "batch": 3, "side": 64} | changes)


def batches(pictures, first=0, count=4, **changes):
    return list(itertools.islice(pictures.batches(order(**changes), first), count))


def pack_shard(path, files):
    with tarfile.open(path, "w") as shard:
        for file in files:
            shard.add(file, file.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("set") / "photos", 7)


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("shards")
    files = sorted(folder.iterdir())
    for number, start in enumerate((0, 3, 6)):
        pack_shard(target / f"photos-{number}.tar", files[start : start + 3])
    return target


@pytest.fixture(params=["memory", "folder", "shards"])
def pictures(request, folder, shards):
    if request.param == "memory":
        return open_at(folder, Storage.MEMORY)
    return open_at(folder if request.param == "folder" else shards, Storage.DISK)


def test_a_batch_is_cut_from_the_pictures_that_it_names(pictures, folder):
    for batch in batches(pictures):
        assert batch.pictures.shape == (3, 3, 64, 64)
        assert batch.pictures.is_contiguous(memory_format=torch.channels_last)
        for crop, name, window in zip(batch.pictures, batch.names, batch.windows, strict=True):
            with Image.open(folder / name) as whole:
                assert (whole.height, whole.width) == (window.height, window.width)
                right, below = window.left + window.side, window.top + window.side
                part = whole.crop((window.left, window.top, right, below))
            if window.mirrored:
                part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            levels = (255.0 * crop).round().to(torch.uint8).permute(1, 2, 0)
            assert levels.numpy().tobytes() == part.convert("RGB").tobytes()


def test_crops_are_mirrored_and_moved(pictures):
    windows = [window for batch in batches(pictures, count=8) for window in batch.windows]
    assert {window.mirrored for window in windows} == {False, True}
    assert len({(window.top, window.left) for window in windows}) > 12


def test_every_picture_comes_once_in_each_epoch(pictures):
    assert pictures.count == 6
    names = [name for batch in batches(pictures, count=6) for name in batch.names]
    epochs = [names[start : start + 6] for start in (0, 6, 12)]
    assert all(len(set(epoch)) == 6 for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_a_later_step_is_the_same_however_one_comes_to_it(pictures):
    for later, again in zip(batches(pictures, count=5)[3:], batches(pictures, 3, 2), strict=True):
        assert later.names == again.names
        assert later.windows == again.windows
        assert torch.equal(later.pictures, again.pictures)


def test_other_seeds_and_stages_come_in_another_order(pictures):
    names = [tuple(batch.names) for batch in batches(pictures)]
    assert names != [tuple(batch.names) for batch in batches(pictures, seed=2)]
    assert names != [tuple(batch.names) for batch in batches(pictures, stage=1)]


def test_devices_share_each_batch(pictures):
    for whole, *parts in zip(
        batches(pictures, batch=4),
        batches(pictures, batch=4, rank=0, world=2),
        batches(pictures, batch=4, rank=1, world=2),
        strict=True,
    ):
        for rank, part in enumerate(parts):
            assert part.windows == whole.windows[rank::2]
            assert torch.equal(part.pictures, whole.pictures[rank::2])


def test_held_out_pictures_are_never_trained_on(pictures):
    assert pictures.held_out.names == ["scene-6.png"]
    seen = {name for batch in batches(pictures, count=8) for name in batch.names}
    assert seen == {f"scene-{number}.png" for number in range(6)}


def test_loading_processes_give_what_this_one_gives(folder, shards):
    for source in (folder, shards):
        here, there = (open_at(source, Storage.DISK, workers=workers) for workers in (0, 1))
        for one, other in zip(batches(here, count=2), batches(there, count=2), strict=True):
            assert torch.equal(one.pictures, other.pictures)


@pytest.mark.parametrize("storage", list(Storage))
def test_broken_and_small_pictures_are_counted_and_the_first_named(tmp_path, caplog, storage):
    write_photos(tmp_path, 3)
    Image.fromarray(scene(40, 80)).save(tmp_path / "small.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    pictures = open_at(tmp_path, storage)
    assert pictures.count == 2
    assert "skipped 1 unreadable pictures, the first is broken.jpg" in caplog.text
    assert "skipped 1 pictures smaller than 64 pixels, the first is small.png" in caplog.text


def test_a_picture_whose_header_alone_is_whole_is_replaced_and_named_once(tmp_path, caplog):
    write_photos(tmp_path, 4)
    path = tmp_path / "scene-1.png"
    path.write_bytes(path.read_bytes()[:2000])
    seen = batches(open_at(tmp_path, Storage.DISK), count=6)
    assert "scene-1.png" not in {name for batch in seen for name in batch.names}
    assert caplog.text.count("the first is scene-1.png") == 1
    again = batches(open_at(tmp_path, Storage.DISK), 4, 2)
    assert torch.equal(seen[4].pictures, again[0].pictures)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_folder_without_whole_pixels_is_one_line_wherever_it_is_noticed(tmp_path, workers):
    for path in write_photos(tmp_path, 4).iterdir():
        path.write_bytes(path.read_bytes()[:2000])
    pictures = open_at(tmp_path, Storage.DISK, workers=workers)
    with pytest.raises(EmptyDataset, match=r"^16 pictures in a row cannot be read, .*\.png$"):
        next(pictures.batches(order(), 0))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_that_is_lost_while_training_is_one_line(shards, tmp_path, workers):
    path = tmp_path / "photos.tar"
    path.write_bytes((shards / "photos-0.tar").read_bytes())
    pictures = open_at(path, Storage.DISK, workers=workers)
    path.write_bytes(b"no shard")
    with pytest.raises(UnreadableShard, match=r"^.*photos\.tar is no whole tar file: .*$"):
        next(pictures.batches(order(), 0))


def test_broken_pictures_in_shards_are_replaced_and_named_once(folder, tmp_path, caplog):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    files = [*sorted(folder.iterdir()), tmp_path / "broken.jpg", folder / "scene-0.png"]
    pack_shard(tmp_path / "photos.tar", files)
    (tmp_path / "broken.jpg").unlink()
    for batch in batches(open_at(tmp_path, Storage.DISK), count=8):
        assert "broken.jpg" not in batch.names
        assert len(batch.names) == 3
    assert caplog.text.count("skipped 1 unreadable pictures, the first is broken.jpg") == 1


@pytest.mark.parametrize("storage", list(Storage))
def test_a_set_without_pictures_is_refused(tmp_path, storage):
    with pytest.raises(EmptyDataset, match=r"pictures? of at least 64 pixels"):
        open_at(tmp_path, storage)


@pytest.mark.parametrize("storage", list(Storage))
def test_a_set_that_is_held_out_whole_is_refused(folder, shards, storage):
    source = shards if storage is Storage.DISK else folder
    with pytest.raises(EmptyDataset, match=r"7 pictures.* of which 7 are held out"):
        open_at(source, storage, held_out=7)


@pytest.mark.parametrize("storage", list(Storage))
def test_a_broken_shard_is_one_clear_line(tmp_path, storage):
    (tmp_path / "photos.tar").write_bytes(b"no shard")
    with pytest.raises(UnreadableShard, match=r"photos\.tar is no whole tar file"):
        open_at(tmp_path, storage)


def test_shards_beside_loose_pictures_are_refused_where_they_stay_on_disk(folder, tmp_path):
    write_photos(tmp_path, 2)
    pack_shard(tmp_path / "photos.tar", sorted(folder.iterdir()))
    with pytest.raises(BadDataset, match="holds shards and loose pictures"):
        open_at(tmp_path, Storage.DISK)


def test_sets_of_other_pictures_have_other_digests(folder, shards, tmp_path):
    other = write_photos(tmp_path, 7, width=100)
    assert open_at(folder, Storage.MEMORY).digest == open_at(folder, Storage.DISK).digest
    assert open_at(folder, Storage.MEMORY).digest != open_at(other, Storage.MEMORY).digest
