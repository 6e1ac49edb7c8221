"""Keep frames that the decoder refuses for good, so that they neither block others nor vanish."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import grpc

from ugicm.v1 import types_pb2
from ugicm_encoder.errors import SpoolFailed
from ugicm_servicekit.durable import make_folder_durably, write_durably
from ugicm_servicekit.wire import key_from_wire

__all__ = ["RefusedFrames"]

_NAME_OF_STATUS = {status.value[0]: status.name for status in grpc.StatusCode}


class RefusedFrames:
    """A folder with two files for each frame: its stream, and a record of why it lies there.

    Args:
        folder: made when the first frame comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def keep(self, frame: types_pb2.Frame, failure: types_pb2.Failure) -> None:
        """Return once the frame's files are durable.

        Raises:
            SpoolFailed: they cannot be written.
        """
        await asyncio.to_thread(self._write, frame, failure)

    def _write(self, frame: types_pb2.Frame, failure: types_pb2.Failure) -> None:
        key = key_from_wire(frame.key)
        name = f"{key.camera}.{key.epoch}.{key.sequence}"
        record = {
            "key": str(key),
            "capture_time": frame.capture_time.ToJsonString(),
            "status": _NAME_OF_STATUS.get(failure.code, str(failure.code)),
            "message": failure.message,
        }
        try:
            make_folder_durably(self._folder)
            write_durably(self._folder / f"{name}.ugi", frame.stream)
            write_durably(self._folder / f"{name}.json", json.dumps(record, indent=2).encode())
        except OSError as error:
            raise SpoolFailed(f"cannot keep a refused frame in {self._folder}: {error}") from error
