"""Files and folders that are whole or as they were."""

from __future__ import annotations

import os

import pytest

from ugicm_servicekit.durable import make_folder_durably, write_durably


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "file"
    for data in (b"first", b"second, longer"):
        write_durably(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_durably(path, b"first")

    def fail(descriptor):
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write_durably(path, b"second")
    assert path.read_bytes() == b"first"


def test_folders_are_made_with_their_parents(tmp_path):
    for _ in range(2):
        make_folder_durably(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_a_file_in_the_way_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        make_folder_durably(tmp_path / "file")
