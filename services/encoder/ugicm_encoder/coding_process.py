"""A process that codes pictures for the encoder that started it, with an interpreter of its own.

Over one connection the process gets what to load, and answers with what it loaded; then it gets one
picture after the other, and answers each. Only what the codec refuses is an answer: whatever else
fails ends the process, which writes why to its standard error. It ends with its encoder, however
that ends.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np

from ugicm_codec.errors import CodecError
from ugicm_codec.limits import Limits
from ugicm_codec.memory import keep_freed_memory
from ugicm_codec.threads import at_most
from ugicm_encoder.errors import CodingProcessEnded

if TYPE_CHECKING:
    from ugicm_codec.codec import Codec, Image

__all__ = ["CodedElsewhere", "CodingProcess"]

# How long loading models, coding a picture, and ending may take before the process is killed.
_LOADING_SECONDS = 300.0
_CODING_SECONDS = 60.0
_ENDING_SECONDS = 5.0
_STANDARD_ERROR = 2
# The first picture is a slow one: what is compiled, or chosen by size, is there when others come.
_WARM_UP_SHAPE = (128, 128, 3)


@dataclass(frozen=True)
class CodedElsewhere:
    """A stream, and when its picture's analysis began, its coding began, and that ended.

    Times are nanoseconds since 1970.
    """

    stream: bytes = field(repr=False)
    began_ns: int
    analysed_ns: int
    coded_ns: int


class CodingProcess:
    """A process that has loaded models; one thread at a time uses it.

    Args:
        names: of the models, or paths.
        device: to compute on.
        limits: on pictures.
        coding_seconds: how long a picture may take before the process is killed.

    Raises:
        CodingProcessEnded: it could not start, was killed, or ended before it answered; in
            methods too.
        ModelError: a model cannot be used.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        device: str,
        limits: Limits,
        coding_seconds: float = _CODING_SECONDS,
    ) -> None:
        self._coding_seconds = coding_seconds
        # Whether every question has had its answer: the next one would be another picture's.
        self._in_step = True
        try:
            ours, theirs = socket.socketpair()
            limit = struct.pack("ll", *divmod(int(1e6 * coding_seconds), 1_000_000))
            for which in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                ours.setsockopt(socket.SOL_SOCKET, which, limit)
            self._connection = Connection(ours.detach())
            with theirs:
                number = theirs.fileno()
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", __name__, str(number)],
                    stdin=subprocess.DEVNULL,
                    # The encoder's output has readers who wait for its end.
                    stdout=_STANDARD_ERROR,
                    pass_fds=[number],
                    # A terminal tells its whole group to stop; the encoder still drains then.
                    process_group=0,
                )
        except OSError as error:
            raise CodingProcessEnded(f"a coding process could not start: {error}") from error
        try:
            loaded = self._ask((names, device, limits), _LOADING_SECONDS)
            self._digests: frozenset[str] = loaded
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it can code nothing more."""
        return not self._in_step or self._process.poll() is not None

    def has(self, digest: str) -> bool:
        """Tell whether it has loaded the model file with that SHA-256."""
        return digest in self._digests

    def encode(self, codec: Codec, image: Image, target: Mapping[str, int]) -> CodedElsewhere:
        """Code a picture as ``codec`` would with one thread, whose model file it has loaded.

        Args:
            codec: whose model is to be used.
            image: as ``Codec.analyse`` takes it.
            target: further arguments of ``Codec.code``.

        Raises:
            CodecError: as ``Codec.encode``.
        """
        question = codec.model.sha256, image, target
        return CodedElsewhere(*self._ask(question, self._coding_seconds))

    def close(self) -> None:
        """Let it end, and wait until it has."""
        self._connection.close()
        try:
            self._process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, question: Any, seconds: float) -> Any:
        self._in_step = False
        try:
            self._connection.send(question)
            if not self._connection.poll(seconds):
                raise BlockingIOError
            value, error = self._connection.recv()
        except BlockingIOError as late:
            self._process.kill()
            raise CodingProcessEnded(
                f"coding process {self.pid} took more than {seconds:g} s and was killed"
            ) from late
        except (EOFError, OSError) as lost:
            raise CodingProcessEnded(f"coding process {self.pid} ended by itself") from lost
        self._in_step = True
        if error is not None:
            raise error
        return value


def _loaded(names: Sequence[str], device: str, limits: Limits) -> dict[str, Codec]:
    """Return codecs that have coded before, by the SHA-256 of their model files."""
    from ugicm_codec import Codec

    codecs = [Codec.load(name, device, limits=limits) for name in names]
    height, width, _ = _WARM_UP_SHAPE
    for codec in codecs:
        if height * width <= limits.max_pixels:
            codec.encode(np.zeros(_WARM_UP_SHAPE, np.uint8))
    # Collections need not look at libraries and models.
    gc.collect()
    gc.freeze()
    return {codec.model.sha256: codec for codec in codecs}


def _coded(codec: Codec, image: Image, target: Mapping[str, int]) -> tuple[bytes, int, int, int]:
    """Return the parts of ``CodedElsewhere``."""
    began = time.time_ns()
    analysed = codec.analyse(image)
    between = time.time_ns()
    stream = codec.code(analysed, **target)
    return stream, began, between, time.time_ns()


def _answer(connection: Connection) -> None:
    """Load and code what is asked, until EOFError or ConnectionError: nobody is left to ask."""
    try:
        codecs = _loaded(*connection.recv())
    except CodecError as error:
        connection.send((None, error))
        return
    connection.send((frozenset(codecs), None))
    while True:
        digest, image, target = connection.recv()
        try:
            answer: tuple[Any, CodecError | None] = _coded(codecs[digest], image, target), None
        except CodecError as error:
            answer = None, error
        connection.send(answer)


def _main() -> None:
    # A supervisor tells all processes to stop; the encoder still drains then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    keep_freed_memory()
    # As the encoder codes the same pictures; and further threads would spin beside the others'.
    with (
        suppress(EOFError, ConnectionError),
        Connection(int(sys.argv[1])) as connection,
        at_most(1),
    ):
        _answer(connection)
    # There is nothing to tidy up in libraries.
    os._exit(0)


if __name__ == "__main__":
    _main()
