"""A spool against a model of it: nothing accepted is lost, doubled or misplaced."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.encoder.spools import digest, frame, spooling
from ugicm_encoder.errors import FrameLate, FrameTaken
from ugicm_encoder.spool import Acceptance, SpoolFull
from ugicm_servicekit.errors import Overloaded

# Forward steps make new frames, backward ones repeat or come too late.
PUTS = st.tuples(
    st.just("put"),
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.integers(-3, 3), st.sampled_from("xy")),
        min_size=1,
        max_size=8,
    ),
)
STEPS = st.one_of(
    PUTS,
    st.tuples(st.just("forward"), st.integers(1, 6)),
    st.tuples(st.just("send"), st.integers(1, 6)),
    st.tuples(st.just("reopen"), st.none()),
)


class Model:
    """What a spool should have accepted, and what left it."""

    def __init__(self):
        self.marks = {"a": -1, "b": -1}
        self.pictures = {}
        self.left = {"a": [], "b": []}

    def expected(self, camera, sequence, text):
        """Return what a put should come to, where there is room."""
        if sequence > self.marks[camera]:
            return Acceptance.SPOOLED
        known = self.pictures.get((camera, sequence))
        if known is None:
            return FrameLate
        return Acceptance.DUPLICATE if known == text else FrameTaken

    def accept(self, camera, sequence, text):
        self.marks[camera] = sequence
        self.pictures[camera, sequence] = text

    def leave(self, items):
        for item in items:
            request = item.request
            if request.HasField("gap"):
                gap = request.gap
                self.left[gap.camera].append((gap.first_sequence, gap.last_sequence))
            else:
                key = request.frame.key
                assert request.frame.stream.startswith(
                    self.pictures[key.camera, key.sequence].encode()
                )
                self.left[key.camera].append((key.sequence, key.sequence))

    def check(self):
        """All that was accepted has left, once and in order, as itself or in a gap."""
        for camera, ranges in self.left.items():
            ends = [end for both in ranges for end in both]
            assert ends == sorted(ends)
            assert len({first for first, _ in ranges}) == len(ranges)
            covered = {number for first, last in ranges for number in range(first, last + 1)}
            accepted = {sequence for name, sequence in self.pictures if name == camera}
            assert accepted == covered


async def outcome_of(spool, camera, sequence, text):
    try:
        stream = text.encode() + b"." * 500
        return await spool.put(frame(sequence, camera=camera, stream=stream), digest(text))
    except (FrameLate, FrameTaken) as error:
        return type(error)
    except Overloaded:
        return Overloaded


async def play(folder, steps, **options):
    model = Model()
    pending = list(steps)
    while pending:
        async with spooling(folder, clock=lambda: 0.0, **options) as spool:
            while pending:
                step, detail = pending.pop(0)
                if step == "put":
                    for camera, ahead, text in detail:
                        sequence = max(0, model.marks[camera] + ahead)
                        expected = model.expected(camera, sequence, text)
                        outcome = await outcome_of(spool, camera, sequence, text)
                        assert outcome in (expected, Overloaded)
                        if outcome is Acceptance.SPOOLED:
                            model.accept(camera, sequence, text)
                elif step == "reopen":
                    break
                else:
                    # What is sent and not answered is sent again.
                    items = (await spool.pending(0, detail)).items
                    if step == "forward":
                        await spool.remove([item.position for item in items])
                        model.leave(items)
    async with spooling(folder, **options) as spool:
        items = (await spool.pending(0, 10_000)).items
        await spool.remove([item.position for item in items])
        model.leave(items)
        assert (spool.usage.num_items, spool.usage.num_bytes) == (0, 0)
    model.check()


@pytest.mark.parametrize(
    "options",
    [
        {"max_bytes": 2**20},
        {"max_bytes": 3000},
        {"max_bytes": 3000, "when_full": SpoolFull.DROP_OLDEST},
    ],
    ids=["large", "full", "dropping"],
)
@settings(max_examples=30)
@given(steps=st.lists(STEPS, max_size=14))
def test_all_that_was_accepted_leaves_once_and_in_order(options, steps):
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), steps, **options))
