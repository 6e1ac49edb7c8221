"""Writing files: whole or not at all, and never over what nobody meant to lose."""

import os
import stat

import pytest

from ugicm_client.errors import OutputExists
from ugicm_client.files import Existing, write_atomically


def test_a_file_is_written_with_the_permissions_of_any_new_file(tmp_path):
    path = tmp_path / "new"
    write_atomically(path, b"data", existing=Existing.REFUSE)
    (tmp_path / "other").touch()
    assert path.read_bytes() == b"data"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_an_existing_file_is_kept(tmp_path):
    path = tmp_path / "there"
    path.write_bytes(b"old")
    with pytest.raises(OutputExists, match="there"):
        write_atomically(path, b"new", existing=Existing.REFUSE)
    assert path.read_bytes() == b"old"


def test_an_existing_file_is_replaced_when_told_so(tmp_path):
    path = tmp_path / "there"
    path.write_bytes(b"old")
    write_atomically(path, b"new", existing=Existing.REPLACE)
    assert path.read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "there"
    path.write_bytes(b"old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new", existing=Existing.REPLACE)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"old"]


def test_a_symbolic_link_stays_a_link(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomically(link, b"new", existing=Existing.REPLACE)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_folder_is_never_replaced(tmp_path):
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path, b"new", existing=Existing.REPLACE)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, b"data", existing=Existing.REFUSE)
    assert os.read(reader, 10) == b"data"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
