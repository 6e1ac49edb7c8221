"""Stored masks against pycocotools, and what a file of them refuses."""

import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from ugicm_training.errors import BadMasks
from ugicm_training.instances.rle import PictureMasks
from ugicm_training.instances.store import MaskStore


@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=12)))
def test_masks_come_back_without_the_empty_ones(masks):
    stored = PictureMasks.encode(masks)
    kept = masks[masks.any((1, 2))]
    assert np.array_equal(stored.decode(), kept)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)))
def test_a_stored_mask_is_what_coco_tools_write_and_read(mask):
    stored = PictureMasks.encode(mask[None])
    for counts in stored.counts:
        runs = {"size": list(mask.shape), "counts": counts}
        assert np.array_equal(coco.decode(runs), mask)
        assert coco.encode(np.asfortranarray(mask, np.uint8)) == runs


def test_long_runs_are_read_as_coco_tools_read_them():
    mask = np.zeros((3000, 2000), bool)
    mask[5, 7] = mask[2990, 1999] = True
    stored = PictureMasks.encode(mask[None])
    assert np.array_equal(stored.decode()[0], mask)


@pytest.mark.parametrize(
    "counts", [b"abc", b"zzzzzzzz", b"h4", b"P137", b"PPPPPPPPP0", b"h3\xff", b""]
)
def test_runs_that_do_not_cover_the_picture_are_refused(counts):
    with pytest.raises(BadMasks, match="run lengths that do not cover 10x12 pixels"):
        PictureMasks(10, 12, (counts,)).decode()


@given(st.binary(max_size=64))
def test_any_bytes_decode_or_are_refused(counts):
    try:
        masks = PictureMasks(10, 12, (counts,)).decode()
    except BadMasks:
        return
    assert masks.shape == (1, 10, 12)


def test_a_picture_that_was_never_segmented_is_not_found(tmp_path):
    with MaskStore.create(tmp_path / "masks", "by hand") as store:
        store.add([("bare.png", PictureMasks(4, 5, ()))])
        assert store.find("bare.png") == PictureMasks(4, 5, ())
        assert store.find("other.png") is None


def test_pictures_are_added_together_or_not_at_all(tmp_path):
    def breaking_off():
        yield "first.png", PictureMasks(4, 5, ())
        raise RuntimeError

    with MaskStore.create(tmp_path / "masks", "by hand") as store:
        with pytest.raises(RuntimeError):
            store.add(breaking_off())
        assert store.names() == frozenset()


def test_a_missing_file_says_what_writes_one(tmp_path):
    with pytest.raises(BadMasks, match="`ugicm-train masks` writes one"):
        MaskStore.open(tmp_path / "masks")


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "masks").write_bytes(b"nothing of the kind" * 50)
    with pytest.raises(BadMasks, match="masks: file is not a database"):
        MaskStore.open(tmp_path / "masks")


def test_another_database_is_refused_and_left_alone(tmp_path):
    other = sqlite3.connect(tmp_path / "frames.sqlite")
    other.execute("CREATE TABLE frames (stream BLOB)")
    other.close()
    before = (tmp_path / "frames.sqlite").read_bytes()
    with pytest.raises(BadMasks, match=r"frames\.sqlite is no file of masks"):
        MaskStore.create(tmp_path / "frames.sqlite", "by hand")
    assert (tmp_path / "frames.sqlite").read_bytes() == before


def test_a_full_disk_is_one_clear_line_and_keeps_what_was_there(tmp_path):
    large = PictureMasks(1, 1, (b"0" * 100_000,))
    with MaskStore.create(tmp_path / "masks", "by hand") as store:
        store.add([("kept.png", PictureMasks(4, 5, ()))])
        store._connection.execute("PRAGMA max_page_count = 8")
        with pytest.raises(BadMasks, match="masks: database or disk is full"):
            store.add([("large.png", large)])
        assert store.names() == {"kept.png"}
