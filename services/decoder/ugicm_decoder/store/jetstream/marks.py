"""Remember for good which frames were stored, also when the stream has let them go.

The server removes what is too old or too much by itself, and then knows nothing more of it. So the
numbers of frames that will go soon are written to a small stream beside it, by whichever decoder
sees them first: one message for each camera and epoch, replaced by comparing and setting.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NotFoundError

from ugicm_decoder.store.removals import Run, join_touching
from ugicm_servicekit.following import Part, follow
from ugicm_servicekit.jetstream import (
    EXPECTED_LAST,
    WRONG_LAST,
    NatsSettings,
    camera_from_word,
    camera_to_word,
    ensure_stream,
)
from ugicm_servicekit.sqlite import signed, unsigned

__all__ = ["Mark", "Marks"]

_RUNS = "Ugicm-Runs"
# As with the gaps of a SQLite store: beyond, those with the lowest numbers are joined.
_MOST_RUNS = 64
_TRIES = 5


@dataclass(frozen=True)
class Mark:
    """What was stored of one epoch and is gone, or will be soon; numbers as in the index."""

    camera: str
    epoch: int
    runs: tuple[Run, ...]


class Marks:
    """The marks of one stream of frames.

    Args:
        client: a connection.
        jetstream: its JetStream.
        stream: the name of the stream of marks.
    """

    def __init__(self, client: Client, jetstream: JetStreamContext, stream: str) -> None:
        self._client = client
        self._jetstream = jetstream
        self._stream = stream

    async def make(self, settings: NatsSettings) -> None:
        """Make the stream where there is none.

        Raises:
            Unreachable: it cannot be had.
        """
        config = StreamConfig(
            name=self._stream,
            subjects=[f"{self._stream}.>"],
            max_msgs_per_subject=1,
            num_replicas=settings.nats_replicas,
            max_age=0.0,
            max_bytes=-1,
        )
        await ensure_stream(self._jetstream, config, patience_seconds=settings.nats_start_seconds)

    async def read(self) -> AsyncIterator[Mark]:
        """Yield all that are there now."""
        state = (await self._jetstream.stream_info(self._stream)).state
        position = 0
        if state.messages == 0:
            return
        batches = follow(self._client, self._jetstream, self._stream, position, Part.HEADERS)
        async with aclosing(batches):
            async for messages in batches:
                for message in messages:
                    position = message.metadata.sequence.stream
                    _, camera, epoch = message.subject.split(".")
                    runs = _from_text((message.headers or {})[_RUNS])
                    yield Mark(camera_from_word(camera), signed(int(epoch)), tuple(runs))
                if position >= state.last_seq:
                    return

    async def merge(self, mark: Mark) -> None:
        """Return once it is durable that these frames were stored.

        Raises:
            NatsError, TimeoutError: it could not be written now.
        """
        camera = camera_to_word(mark.camera)
        subject = f"{self._stream}.{camera}.{unsigned(mark.epoch)}"
        for _ in range(_TRIES):
            last, known = await self._last(subject)
            runs = _bounded(join_touching([*known, *mark.runs]))
            if runs == known:
                return
            headers = {EXPECTED_LAST: str(last), _RUNS: _to_text(runs)}
            try:
                await self._jetstream.publish(subject, headers=headers)
            except APIError as error:
                if error.err_code != WRONG_LAST:
                    raise
            else:
                return
        raise NatsError(f"the mark {subject} changes all the time")

    async def _last(self, subject: str) -> tuple[int, list[Run]]:
        try:
            message = await self._jetstream.get_last_msg(self._stream, subject)
        except NotFoundError:
            return 0, []
        return message.seq or 0, _from_text((message.headers or {})[_RUNS])


def _bounded(runs: Sequence[Run]) -> list[Run]:
    if len(runs) <= _MOST_RUNS:
        return list(runs)
    excess = len(runs) - _MOST_RUNS
    lowest, kept = runs[: excess + 1], runs[excess + 1 :]
    position = max(run.position for run in lowest)
    return [Run(lowest[0].first, lowest[-1].last, position), *kept]


def _to_text(runs: Iterable[Run]) -> str:
    return json.dumps([[unsigned(run.first), unsigned(run.last), run.position] for run in runs])


def _from_text(text: str) -> list[Run]:
    return [Run(signed(first), signed(last), at) for first, last, at in json.loads(text)]
