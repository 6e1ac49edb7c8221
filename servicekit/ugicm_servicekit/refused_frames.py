"""Keep frames that a decoder refuses for good, so that they neither block others nor vanish."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from ugicm.v1 import types_pb2
from ugicm_servicekit.durable import make_folder_durably, write_durably
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.wire import FrameKey, check_camera, key_from_wire, key_to_wire

__all__ = ["FOLDER", "RefusedFrame", "RefusedFrames"]

# Where they lie in the folder of a spool.
FOLDER = "refused"

_NAME_OF_STATUS = {status.value[0]: status.name for status in grpc.StatusCode}


@dataclass(frozen=True)
class RefusedFrame:
    """What is written down of a frame, without its stream.

    Attributes:
        capture_time: in UTC; None where a file is damaged or gone.
        status: by which it was refused, such as PERMISSION_DENIED; empty where that is not known.
        message: the decoder's words, or what is wrong with the files.
        num_bytes: of the stream.
    """

    key: FrameKey
    capture_time: Timestamp | None
    status: str
    message: str
    num_bytes: int


class RefusedFrames:
    """A folder with two files for each frame: its stream, and a record of why it lies there.

    Each method may raise ``OSError``, and blocks for the disk.

    Args:
        folder: made when the first frame comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, frame: types_pb2.Frame, code: int, message: str) -> None:
        """Return once the frame's files are durable.

        Args:
            frame: that was refused.
            code: the number of the gRPC status.
            message: why.
        """
        key = key_from_wire(frame.key)
        record = {
            "key": str(key),
            "capture_time": frame.capture_time.ToJsonString(),
            "status": _NAME_OF_STATUS.get(code, str(code)),
            "message": message,
        }
        make_folder_durably(self._folder)
        # The record last: where it is, the frame is whole.
        write_durably(self._path(key, "ugi"), frame.stream)
        write_durably(self._path(key, "json"), json.dumps(record, indent=2).encode())

    def list(self) -> list[RefusedFrame]:
        """Return what lies in the folder, by camera, epoch and sequence."""
        keys = sorted(
            (key for path in self._folder.glob("*.json") if (key := _key(path)) is not None),
            key=lambda key: (key.camera, key.epoch, key.sequence),
        )
        return [self._describe(key) for key in keys]

    def read(self, refused: RefusedFrame) -> types_pb2.Frame:
        """Return a frame as it was sent, for its decoder to check."""
        return types_pb2.Frame(
            key=key_to_wire(refused.key),
            capture_time=refused.capture_time,
            stream=self._path(refused.key, "ugi").read_bytes(),
        )

    def remove(self, refused: RefusedFrame) -> None:
        """Delete a frame's files."""
        self._path(refused.key, "json").unlink()
        self._path(refused.key, "ugi").unlink()

    def _path(self, key: FrameKey, suffix: str) -> Path:
        return self._folder / f"{key.camera}.{key.epoch}.{key.sequence}.{suffix}"

    def _describe(self, key: FrameKey) -> RefusedFrame:
        try:
            num_bytes = self._path(key, "ugi").stat().st_size
            text = self._path(key, "json").read_bytes()
        except FileNotFoundError as error:
            return RefusedFrame(key, None, "", f"{error.filename} is gone", 0)
        taken = Timestamp()
        try:
            record = json.loads(text)
            taken.FromJsonString(record["capture_time"])
            status, message = str(record["status"]), str(record["message"])
        except (ValueError, KeyError, TypeError):
            return RefusedFrame(key, None, "", "its record is damaged", num_bytes)
        return RefusedFrame(key, taken, status, message, num_bytes)


def _key(path: Path) -> FrameKey | None:
    """Return the key that a record's name tells, or None where it is no record's name."""
    camera, _, numbers = path.stem.rpartition(".")
    camera, _, epoch = camera.rpartition(".")
    try:
        check_camera(camera)
        key = FrameKey(camera, int(epoch), int(numbers))
    except (BadRequest, ValueError):
        return None
    return key if path.stem == f"{camera}.{key.epoch}.{key.sequence}" else None
