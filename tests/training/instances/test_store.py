"""The file of masks: what it keeps, and what it refuses."""

import sqlite3

import pytest

from ugicm_training.errors import BadMasks
from ugicm_training.instances.rle import PictureMasks
from ugicm_training.instances.store import MaskStore


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


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "masks").touch()
    with pytest.raises(BadMasks, match="masks is no file of masks"):
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
