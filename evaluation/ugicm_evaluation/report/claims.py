"""What a machine view is for, and whether the figures bear it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from ugicm_evaluation.bootstrap import Estimate
from ugicm_evaluation.report.results import Judged, RateDistortion, Report
from ugicm_evaluation.tasks.protocol import Better, Role

__all__ = ["Claim", "Verdict", "claims", "verdict"]

# The human view may cost this much against the baseline, in dB.
_HUMAN_COST = 0.3

# Gains over JPEG below 0.5 bits per pixel that are asked of models trained on CPUs and on a GPU.
_OVER_JPEG = (1.0, 2.0)


class Verdict(Enum):
    """Whether a claim holds."""

    YES = "**yes**"
    NO = "no"
    UNDECIDED = "not told from chance"


@dataclass(frozen=True)
class Claim:
    """Something that is asked of a model, and what was found."""

    text: str
    found: str
    verdict: Verdict


def claims(report: Report) -> Iterator[Claim]:
    """Yield what can be said of a report's figures, whichever way it went."""
    for judged in report.judged:
        if judged.role is not Role.DETAIL:
            average = judged.rows[-1]
            what = f"{judged.judge} ({judged.dataset}), {judged.metric}"
            yield _better(f"{what}: machine view beats human view", judged, average.over_human)
            if average.over_baseline is not None:
                yield _better(
                    f"{what}: machine view beats the baseline at equal bytes",
                    judged,
                    average.over_baseline,
                )
    if report.rate_distortion is not None:
        yield from _of_rates(report.rate_distortion)


def _better(text: str, judged: Judged, found: Estimate) -> Claim:
    digits = 2 if judged.unit in ("%", "dB") else 4
    unit = {"%": " points", "": ""}.get(judged.unit, f" {judged.unit}")
    shown = f"{found.value:+.{digits}f}{unit} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"
    better = found if judged.better is Better.HIGHER else _negated(found)
    return Claim(text, shown, verdict(better, 0.0))


def _of_rates(found: RateDistortion) -> Iterator[Claim]:
    if found.human_over_baseline is not None:
        yield Claim(
            f"human view within {_HUMAN_COST} dB of the baseline at equal bytes",
            _decibels(found.human_over_baseline),
            verdict(found.human_over_baseline, -_HUMAN_COST),
        )
    # The first range is the one that is asked about.
    for low_rates in found.ranges[:1]:
        where = f"below {low_rates.high} bits per pixel"
        for gain in _OVER_JPEG:
            yield Claim(
                f"human view beats JPEG by {gain:g} dB {where}",
                _decibels(low_rates.over_jpeg),
                verdict(low_rates.over_jpeg, gain),
            )
        if low_rates.over_webp is not None:
            yield Claim(
                f"human view beats WebP {where}",
                _decibels(low_rates.over_webp),
                verdict(low_rates.over_webp, 0.0),
            )


def verdict(found: Estimate, least: float) -> Verdict:
    """Return whether a figure is larger than ``least``, as far as its interval can say."""
    if found.low > least:
        return Verdict.YES
    return Verdict.NO if found.high <= least else Verdict.UNDECIDED


def _negated(found: Estimate) -> Estimate:
    return Estimate(-found.value, -found.high, -found.low)


def _decibels(found: Estimate) -> str:
    return f"{found.value:+.2f} dB [{found.low:+.2f}, {found.high:+.2f}]"
