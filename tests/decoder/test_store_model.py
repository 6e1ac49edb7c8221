"""The frame store against a dict: whatever comes in whatever order, also across restarts."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.decoder.store_frames import LARGEST, NOW_NS, frame
from ugicm_decoder.errors import FrameConflict, FrameNotFound, StoreFull
from ugicm_decoder.store import (
    FrameQuery,
    FrameRecord,
    Gap,
    GapReason,
    PutOutcome,
    StoreLimits,
    inserts,
    queries,
    removals,
)
from ugicm_decoder.store.ages import FRAMES
from ugicm_decoder.store.connections import open_writer
from ugicm_decoder.store.retention import Retention
from ugicm_decoder.store.room import Room
from ugicm_servicekit.sqlite import Ages, Space, ages, transaction
from ugicm_servicekit.wire import FrameKey

LIMITS = StoreLimits(
    retention_seconds=100, retention_camera_bytes=40, min_free_bytes=0, retry_seconds=0
)
# Waiting for a disk some thousand times takes minutes, and shows nothing here.
MEMORY = Path("/dev/shm")
CAMERAS = st.sampled_from(["gate", "yard"])
EPOCHS = st.sampled_from([0, 7, LARGEST])
SEQUENCES = st.one_of(st.integers(0, 9), st.integers(LARGEST - 2, LARGEST))
STREAMS = st.sampled_from([b"", b"four", b"eightbyt", b"x" * 25, b"y" * 41])


@dataclass(frozen=True)
class Kept:
    """What the model knows of a stored frame."""

    stream: bytes
    position: int
    stored_ns: int


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.now_ns = NOW_NS
        self.disk_free = 10**9
        self.kept: dict[FrameKey, Kept] = {}
        self.gone: dict[FrameKey, int] = {}
        self.told: list[tuple[int, Gap, int]] = []
        self.newest = 0
        self.open()

    def open(self) -> None:
        path = Path(self.folder.name) / "frames.sqlite"
        self.opened = ExitStack()
        self.db = open_writer(path, self.opened)
        self.room = Room(path, LIMITS, lambda: self.disk_free)
        space = Space(self.db, path)
        self.ages = Ages(self.db, FRAMES, lambda: self.now_ns, lambda: self.now_ns / 1e9)
        self.retention = Retention(
            self.db, space, LIMITS, self.room, self.ages, lambda: self.now_ns
        )
        self.ages.count_closed_time()

    def teardown(self) -> None:
        self.opened.close()
        self.folder.cleanup()

    @rule()
    def restart(self) -> None:
        self.opened.close()
        self.now_ns += 10**9
        self.open()

    @rule(seconds=st.integers(1, 60))
    def pass_time(self, seconds: int) -> None:
        self.now_ns += seconds * 10**9

    @rule(camera=CAMERAS, epoch=EPOCHS, sequence=SEQUENCES, stream=STREAMS)
    def put(self, camera: str, epoch: int, sequence: int, stream: bytes) -> None:
        put = frame(camera, sequence, epoch=epoch, captured_ns=sequence % 5, stream=stream)
        kept = self.kept.get(put.key)
        if kept is not None and kept.stream != stream:
            with pytest.raises(FrameConflict), transaction(self.db, "IMMEDIATE"):
                inserts.insert_frame(self.db, put, self.now_ns, self.room)
        elif kept is not None or covered(put.key, self.removed_gaps()):
            assert self.insert(put) is PutOutcome.DUPLICATE
        else:
            assert self.insert(put) is PutOutcome.STORED
            self.newest += 1
            self.kept[put.key] = Kept(stream, self.newest, self.now_ns)

    @rule(camera=CAMERAS, epoch=EPOCHS, sequence=SEQUENCES)
    def put_when_full(self, camera: str, epoch: int, sequence: int) -> None:
        put = frame(camera, sequence, epoch=epoch, stream=b"unheard of")
        self.disk_free = 0
        with suppress(FrameConflict, StoreFull):
            assert self.insert(put) is PutOutcome.DUPLICATE
        self.disk_free = 10**9

    @rule(camera=CAMERAS, epoch=EPOCHS, ends=st.tuples(SEQUENCES, SEQUENCES))
    def put_gap(self, camera: str, epoch: int, ends: tuple[int, int]) -> None:
        gap = Gap(camera, epoch, min(ends), max(ends), GapReason.SPOOL_FULL)
        with transaction(self.db, "IMMEDIATE"):
            self.room.measure(self.db)
            outcome = inserts.insert_gap(self.db, gap, self.now_ns, self.room)
            self.ages.note()
        first = gap.first_sequence
        while FrameKey(camera, epoch, first) in self.kept:
            first += 1
        missing = Gap(camera, epoch, first, gap.last_sequence, gap.reason)
        if outcome is PutOutcome.STORED:
            self.newest += 1
            self.told.append((self.newest, missing, self.now_ns))
        else:
            known = [told for _, told, _ in self.told]
            assert first > gap.last_sequence or any(contains(told, missing) for told in known)

    @rule()
    def retain(self) -> None:
        while self.retention.do_part():
            pass
        old = self.now_ns - 100 * 10**9
        self.told = [told for told in self.told if told[2] >= old]
        for key in [key for key, kept in self.kept.items() if kept.stored_ns < old]:
            self.gone[key] = self.kept.pop(key).position
        for camera in ("gate", "yard"):
            keys = [key for key in self.kept if key.camera == camera]  # as they came
            while sum(len(self.kept[key].stream) for key in keys) > 40:
                oldest = keys.pop(0)
                self.gone[oldest] = self.kept.pop(oldest).position

    @invariant()
    def every_frame_reads_as_it_was_put(self) -> None:
        for key, kept in self.kept.items():
            assert queries.select_frame(self.db, key).stream == kept.stream
        for key in self.gone:
            with pytest.raises(FrameNotFound, match="retention removed it"):
                queries.select_frame(self.db, key)

    @invariant()
    def lists_tell_what_is_stored_in_both_orders(self) -> None:
        for camera in ("gate", "yard"):
            keys = sorted(key for key in self.kept if key.camera == camera)
            assert self.paged(FrameQuery(camera)) == keys
            assert self.paged(FrameQuery(camera, newest_first=True)) == keys[::-1]
            early = FrameQuery(camera, captured_from_ns=1, captured_before_ns=3)
            assert self.paged(early) == [key for key in keys if key.sequence % 5 in (1, 2)]

    @invariant()
    def cameras_are_summed_up(self) -> None:
        of_camera: dict[str, list[FrameKey]] = defaultdict(list)
        for key in sorted(self.kept):
            of_camera[key.camera].append(key)
        summed = queries.select_cameras(self.db, "", 10)
        assert [(one.name, one.newest_key, one.num_frames, one.num_bytes) for one in summed] == [
            (name, keys[-1], len(keys), sum(len(self.kept[key].stream) for key in keys))
            for name, keys in sorted(of_camera.items())
        ]

    @invariant()
    def events_tell_all_that_is_stored_once_in_the_order_of_storing(self) -> None:
        events = queries.select_events(self.db, 0, [], 1000)
        seen = [(one.position, key_or_gap(one.what)) for one in events.items if not is_removed(one)]
        frames: list[tuple[int, FrameKey | Gap]] = [
            (kept.position, key) for key, kept in self.kept.items()
        ]
        gaps: list[tuple[int, FrameKey | Gap]] = [(at, gap) for at, gap, _ in self.told]
        assert seen == sorted(frames + gaps, key=lambda item: item[0])
        assert events.position == self.newest

    @invariant()
    def a_reader_is_told_of_all_that_was_removed_ahead_of_it(self) -> None:
        gaps = self.removed_gaps()
        for key, position in self.gone.items():
            assert covered(key, [(at, gap) for at, gap in gaps if at >= position])
        assert not any(covered(key, gaps) for key in self.kept)
        self.check_extent(gaps)

    def check_extent(self, gaps: list[tuple[int, Gap]]) -> None:
        assert sum(gap.last_sequence - gap.first_sequence + 1 for _, gap in gaps) == len(self.gone)

    def insert(self, put: object) -> PutOutcome:
        with transaction(self.db, "IMMEDIATE"):
            self.room.measure(self.db)
            outcome = inserts.insert_frame(self.db, put, self.now_ns, self.room)
            self.ages.note()
            return outcome

    def paged(self, query: FrameQuery) -> list[FrameKey]:
        keys: list[FrameKey] = []
        while page := queries.select_frames(self.db, query, keys[-1] if keys else None, 3):
            keys += [record.key for record in page]
        return keys

    def removed_gaps(self) -> list[tuple[int, Gap]]:
        events = queries.select_events(self.db, 0, [], 1000).items
        return [(one.position, one.what) for one in events if is_removed(one)]


class ForgetfulMachine(StoreMachine):
    """Remembers one run of removed frames of each epoch, if nothing stored lies between."""

    def check_extent(self, gaps: list[tuple[int, Gap]]) -> None:
        for _, gap in gaps:
            ends = [
                FrameKey(gap.camera, gap.epoch, sequence)
                for sequence in (gap.first_sequence, gap.last_sequence)
            ]
            assert all(end in self.gone for end in ends)


def covered(key: FrameKey, gaps: Iterable[tuple[int, Gap]]) -> bool:
    of_key = Gap(key.camera, key.epoch, key.sequence, key.sequence, GapReason.RETENTION)
    return any(contains(gap, of_key) for _, gap in gaps)


def contains(outer: Gap, inner: Gap) -> bool:
    same = (outer.camera, outer.epoch, outer.reason) == (inner.camera, inner.epoch, inner.reason)
    first = outer.first_sequence <= inner.first_sequence
    return same and first and inner.last_sequence <= outer.last_sequence


def is_removed(event: object) -> bool:
    return isinstance(event.what, Gap) and event.what.reason is GapReason.RETENTION


def key_or_gap(what: FrameRecord | Gap) -> FrameKey | Gap:
    return what.key if isinstance(what, FrameRecord) else what


@pytest.mark.parametrize(("machine", "most_gaps"), [(StoreMachine, 64), (ForgetfulMachine, 1)])
def test_the_store_does_as_the_model_does(
    monkeypatch: pytest.MonkeyPatch, machine: type[StoreMachine], most_gaps: int
) -> None:
    monkeypatch.setattr(removals, "_GAPS_OF_EPOCH", most_gaps)
    monkeypatch.setattr(ages, "_TRUST_SECONDS", 0)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None)
    )
