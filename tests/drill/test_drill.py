"""The fault drill, small; ``make drill`` runs the long one."""

from __future__ import annotations

import pytest

from tests.drill.__main__ import table
from tests.drill.drill import Drill, Plan
from tests.drill.ledger import Ledger, Stored, judge
from ugicm.v1 import types_pb2
from ugicm_servicekit.wire import FrameKey

KINDS = 9


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("spool_full", ["refuse", "drop-oldest"])
async def test_nothing_accepted_is_lost_doubled_altered_or_out_of_order(tmp_path, spool_full):
    plan = Plan(seed=7, num_frames=300, num_faults=KINDS, spool_full=spool_full)
    report = await Drill(plan, tmp_path, print).run()
    print(table(report))
    assert report.is_good
    assert report.num_accepted == report.num_sent >= 300
    assert report.verdict.bytes_checked == report.verdict.stored
    assert report.verdict.stored + report.verdict.told_as_gaps == report.num_sent
    # The faults did happen.
    assert min(report.num_encoder_kills, report.num_decoder_kills) >= 2
    assert set(report.cuts) == {"refused", "reset", "stalled"}
    assert report.num_store_refusals > 0
    limit_was_hit = (
        report.num_spool_refusals if spool_full == "refuse" else report.verdict.told_as_gaps
    )
    assert limit_was_hit > 0


def key(sequence):
    return FrameKey("door", 1, sequence)


@pytest.fixture
def ledger():
    return Ledger(accepted={key(sequence): b"%d" % sequence for sequence in range(4)})


def stored(*sequences, gaps=()):
    return Stored([(key(sequence), b"%d" % sequence) for sequence in sequences], list(gaps))


def test_a_whole_store_is_good(ledger):
    verdict = judge(ledger, stored(0, 1, 2, 3))
    assert verdict.is_good
    assert (verdict.stored, verdict.bytes_checked) == (4, 4)


@pytest.mark.parametrize(
    ("sequences", "name"),
    [((0, 1, 3), "lost"), ((0, 1, 2, 2, 3), "duplicated"), ((0, 2, 1, 3), "out_of_order")],
)
def test_each_thing_that_can_go_wrong_is_seen(ledger, sequences, name):
    verdict = judge(ledger, stored(*sequences))
    assert not verdict.is_good
    assert getattr(verdict, name) == 1


def test_other_bytes_are_seen(ledger):
    ledger.accepted[key(2)] = b"other"
    verdict = judge(ledger, stored(0, 1, 2, 3))
    assert not verdict.is_good
    assert verdict.wrong_bytes == 1


def test_a_gap_that_covers_what_is_missing_is_no_loss(ledger):
    gap = types_pb2.Gap(camera="door", epoch=1, first_sequence=1, last_sequence=2)
    verdict = judge(ledger, stored(0, 3, gaps=[gap]))
    assert verdict.is_good
    assert verdict.told_as_gaps == 2
