"""Run the analyzers that a request chose over one picture."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ugicm_analyzers.protocol import Analyzer, AnalyzerInfo, Findings

from ugicm_servicekit.pictures import Pixels
from ugicm_servicekit.stages import stage

__all__ = ["Choice", "Outcome", "run_analyzers"]


@dataclass(frozen=True)
class Choice:
    """One analyzer to run.

    Attributes:
        analyzer: the analyzer.
        labels: what it shall tell apart; empty unless it needs labels.
        minimum_score: leaves out findings below it.
    """

    analyzer: Analyzer
    labels: tuple[str, ...]
    minimum_score: float


@dataclass(frozen=True)
class Outcome:
    """What came of one analyzer.

    Attributes:
        info: which analyzer it was.
        findings: those of the minimum score, the highest first, or why there are none.
        seconds: what it took.
    """

    info: AnalyzerInfo
    findings: Findings | Exception
    seconds: float


def run_analyzers(choices: Sequence[Choice], picture: Pixels) -> list[Outcome]:
    """Return what came of each choice; one that fails does not take the others along."""
    with stage("analyze"):
        return [_run(choice, picture) for choice in choices]


def _run(choice: Choice, picture: Pixels) -> Outcome:
    info = choice.analyzer.info
    started = time.perf_counter()
    findings: Findings | Exception
    try:
        (found,) = choice.analyzer.analyze([picture], choice.labels)
        findings = _at_least(choice.minimum_score, found)
    except Exception as error:  # noqa: BLE001 - what a library raises is not ours to know
        findings = error
    return Outcome(info, findings, time.perf_counter() - started)


def _at_least(minimum_score: float, findings: Findings) -> Findings:
    return Findings(
        detections=tuple(
            sorted(
                (item for item in findings.detections if item.score >= minimum_score),
                key=lambda item: -item.score,
            )
        ),
        classifications=tuple(
            sorted(
                (item for item in findings.classifications if item.score >= minimum_score),
                key=lambda item: -item.score,
            )
        ),
        segments=findings.segments,
    )
