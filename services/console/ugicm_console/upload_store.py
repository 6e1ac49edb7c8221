"""Keep what users uploaded for as long as there is room, each for its own session only."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from ugicm.v1 import encoder_pb2
from ugicm_console.errors import UnknownUpload
from ugicm_console.jpeg import Jpeg
from ugicm_console.metrics import UPLOAD_BYTES
from ugicm_console.sessions import Session

__all__ = ["Upload", "UploadStore"]


@dataclass(frozen=True)
class Upload:
    """A picture that a user uploaded, coded.

    Attributes:
        original: the picture as a PNG file, upright.
        sent_bytes: of the file that was uploaded.
        coded: the encoder's answer.
        jpeg: of the stream's size.
        name: names it within the console.
    """

    original: bytes = field(repr=False)
    sent_bytes: int
    coded: encoder_pb2.EncodeResponse
    jpeg: Jpeg
    name: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def num_bytes(self) -> int:
        """What it takes in memory."""
        return len(self.original) + len(self.coded.stream) + len(self.jpeg.data)


class UploadStore:
    """Uploads in memory; the oldest go where there are too many.

    Args:
        max_per_session: how many one session keeps.
        max_bytes: of all sessions' together; a single one is kept however large.
    """

    def __init__(self, *, max_per_session: int, max_bytes: int) -> None:
        self._max_per_session = max_per_session
        self._max_bytes = max_bytes
        # In the order in which they came.
        self._uploads: dict[tuple[str, str], Upload] = {}
        UPLOAD_BYTES.set_function(lambda: self._num_bytes)

    @property
    def _num_bytes(self) -> int:
        return sum(upload.num_bytes for upload in list(self._uploads.values()))

    def add(self, session: Session, upload: Upload) -> None:
        """Keep an upload for its session."""
        self._uploads[session.name, upload.name] = upload
        for old in list(self.of(session))[self._max_per_session :]:
            self.remove(session, old.name)
        while self._num_bytes > self._max_bytes and len(self._uploads) > 1:
            del self._uploads[next(iter(self._uploads))]

    def of(self, session: Session) -> Iterator[Upload]:
        """Yield a session's uploads, the newest first."""
        for (owner, _), upload in reversed(list(self._uploads.items())):
            if owner == session.name:
                yield upload

    def get(self, session: Session, name: str) -> Upload:
        """Return one of a session's uploads.

        Raises:
            UnknownUpload: the session has none of that name.
        """
        upload = self._uploads.get((session.name, name))
        if upload is None:
            raise UnknownUpload("there is no such upload any more: upload the picture again")
        return upload

    def remove(self, session: Session, name: str) -> None:
        """Forget one of a session's uploads.

        Raises:
            UnknownUpload: the session has none of that name.
        """
        self.get(session, name)
        del self._uploads[session.name, name]

    def forget(self, session: Session) -> None:
        """Forget all that a session uploaded."""
        for upload in list(self.of(session)):
            self.remove(session, upload.name)
