"""What cameras were told, held against what the store has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from ugicm.v1 import decoder_pb2, encoder_pb2, types_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_client.camera import SentFrame
from ugicm_servicekit.wire import FrameKey, key_from_wire

_ACCEPTED = (
    encoder_pb2.DELIVERY_STORED,
    encoder_pb2.DELIVERY_SPOOLED,
    encoder_pb2.DELIVERY_DUPLICATE,
)


@dataclass
class Ledger:
    """The frames of all cameras.

    Attributes:
        accepted: in the order of being told, with the stream's SHA-256 where the answer had it.
        refused: the keys of frames that were refused for good, and why.
        expected: the stream's SHA-256 where it is known beforehand.
    """

    accepted: dict[FrameKey, bytes | None] = field(default_factory=dict)
    refused: dict[FrameKey, str] = field(default_factory=dict)
    expected: dict[FrameKey, bytes] = field(default_factory=dict)

    def note(self, sent: SentFrame) -> None:
        """Write down what a camera was told."""
        outcome = sent.outcome
        if isinstance(outcome, Exception):
            self.refused[sent.key] = str(outcome)
        elif outcome.delivery in _ACCEPTED:
            digest = sha256(outcome.stream).digest() if outcome.stream else None
            self.accepted[sent.key] = digest
        else:
            self.refused[sent.key] = f"delivery {outcome.delivery}"

    def digest_of(self, key: FrameKey) -> bytes | None:
        """Return the SHA-256 that a frame's stream must have, where it is known."""
        return self.accepted.get(key) or self.expected.get(key)


@dataclass(frozen=True)
class Stored:
    """What the store has, in the order of storing."""

    frames: list[tuple[FrameKey, bytes]]
    gaps: list[types_pb2.Gap]


@dataclass(frozen=True)
class Verdict:
    """How the store differs from what cameras were told; all should be 0 but the first three."""

    stored: int
    told_as_gaps: int
    bytes_checked: int
    lost: int
    duplicated: int
    out_of_order: int
    wrong_bytes: int

    @property
    def is_good(self) -> bool:
        """Whether every accepted frame is there once, right, and in order."""
        return not (self.lost or self.duplicated or self.out_of_order or self.wrong_bytes)


async def read_store(stub: DecoderServiceStub, cameras: Sequence[str]) -> Stored:
    """Return what the store has of cameras, frames with the SHA-256 of their streams."""
    listed = (await stub.ListCameras(decoder_pb2.ListCamerasRequest())).cameras
    num_frames = sum(camera.num_frames for camera in listed if camera.name in cameras)
    watch = stub.Watch(
        decoder_pb2.WatchFramesRequest(
            start=types_pb2.WATCH_START_OLDEST,
            mode=types_pb2.WATCH_MODE_EVERY,
            include_stream=True,
            cameras=cameras,
        )
    )
    stored = Stored([], [])
    while len(stored.frames) < num_frames:
        event = await watch.read()
        if event.HasField("gap"):
            stored.gaps.append(event.gap)
        else:
            digest = sha256(event.stream).digest()
            stored.frames.append((key_from_wire(event.frame.key), digest))
    watch.cancel()
    return stored


def judge(ledger: Ledger, stored: Stored) -> Verdict:
    """Return how the store differs from what cameras were told."""
    times = Counter(key for key, _ in stored.frames)
    missing = [key for key in ledger.accepted if key not in times]
    told = sum(_is_told(key, stored.gaps) for key in missing)
    newest: dict[tuple[str, int], int] = {}
    out_of_order = wrong_bytes = bytes_checked = 0
    for key, digest in stored.frames:
        epoch = (key.camera, key.epoch)
        out_of_order += key.sequence < newest.get(epoch, 0)
        newest[epoch] = max(key.sequence, newest.get(epoch, 0))
        known = ledger.digest_of(key)
        bytes_checked += known is not None
        wrong_bytes += known not in (None, digest)
    return Verdict(
        stored=len(times),
        told_as_gaps=told,
        bytes_checked=bytes_checked,
        lost=len(missing) - told,
        duplicated=sum(times.values()) - len(times),
        out_of_order=out_of_order,
        wrong_bytes=wrong_bytes,
    )


def _is_told(key: FrameKey, gaps: Sequence[types_pb2.Gap]) -> bool:
    return any(
        (gap.camera, gap.epoch) == (key.camera, key.epoch)
        and gap.first_sequence <= key.sequence <= gap.last_sequence
        for gap in gaps
    )
