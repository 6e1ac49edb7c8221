"""What is said of figures: a gain is a gain only where the interval says so."""

import pytest

from ugicm_evaluation.bootstrap import Estimate
from ugicm_evaluation.report.claims import Verdict, verdict


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Estimate(1.2, 1.1, 1.3), Verdict.YES),
        (Estimate(1.2, 0.9, 1.3), Verdict.UNDECIDED),
        (Estimate(0.9, 0.8, 1.1), Verdict.UNDECIDED),
        (Estimate(-2.0, -3.0, -1.0), Verdict.NO),
        (Estimate(1.0, 1.0, 1.0), Verdict.NO),
    ],
)
def test_only_an_interval_above_the_claim_bears_it_out(found, expected):
    assert verdict(found, 1.0) is expected
