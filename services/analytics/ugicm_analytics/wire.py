"""Translate analyzers, choices and findings between messages and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ugicm_analyzers.errors import UnknownAnalyzer
from ugicm_analyzers.protocol import Analyzer, AnalyzerInfo, Detection, Findings, Task

from ugicm.v1 import analytics_pb2 as pb
from ugicm_analytics.analysis import Choice, Outcome
from ugicm_analytics.status import ANALYTICS_STATUS
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.status import failure_of

__all__ = ["analyzer_to_wire", "choices_from_wire", "result_to_wire"]

_TASK_TO_WIRE: Mapping[Task, pb.AnalyzerTask.ValueType] = {
    Task.DETECT: pb.ANALYZER_TASK_DETECT,
    Task.CLASSIFY: pb.ANALYZER_TASK_CLASSIFY,
    Task.SEGMENT: pb.ANALYZER_TASK_SEGMENT,
}


def choices_from_wire(
    options: pb.AnalyzeOptions, analyzers: Mapping[str, Analyzer]
) -> tuple[Choice, ...]:
    """Return what the options choose of the analyzers; by default all that need no labels.

    Raises:
        UnknownAnalyzer: one of the names is not loaded.
        BadRequest: an analyzer is named twice, its labels are missing or too much, or the score
            is out of range.
    """
    wanted: Sequence[pb.AnalyzerChoice] = options.analyzers or [
        pb.AnalyzerChoice(name=name)
        for name, analyzer in analyzers.items()
        if not analyzer.info.needs_labels
    ]
    names = [choice.name for choice in wanted]
    unknown = sorted(set(names) - set(analyzers))
    if unknown:
        raise UnknownAnalyzer(
            f"no analyzer is called {unknown[0][:80]!r}; there are {', '.join(analyzers)}"
        )
    twice = next((name for name in analyzers if names.count(name) > 1), None)
    if twice is not None:
        raise BadRequest(f"an analyzer is named once, got {twice} {names.count(twice)} times")
    minimum = options.minimum_score if options.HasField("minimum_score") else None
    if minimum is not None and not 0.0 <= minimum <= 1.0:
        raise BadRequest(f"a minimum score is from 0 to 1, got {minimum:g}")
    return tuple(_choice(analyzers[choice.name], choice, minimum) for choice in wanted)


def analyzer_to_wire(info: AnalyzerInfo) -> pb.Analyzer:
    """Return what an analyzer says of itself as a message."""
    return pb.Analyzer(
        name=info.name,
        task=_TASK_TO_WIRE[info.task],
        version=info.version,
        labels=info.labels,
        needs_labels=info.needs_labels,
    )


def result_to_wire(outcome: Outcome) -> pb.AnalyzerResult:
    """Return what came of an analyzer as a message."""
    info = outcome.info
    result = pb.AnalyzerResult(analyzer=info.name, version=info.version, seconds=outcome.seconds)
    if isinstance(outcome.findings, Findings):
        _add_findings(result, outcome.findings)
    else:
        method = f"analyzer {info.name}"
        result.failure.CopyFrom(failure_of(outcome.findings, ANALYTICS_STATUS, method=method))
    return result


def _choice(analyzer: Analyzer, choice: pb.AnalyzerChoice, minimum: float | None) -> Choice:
    info = analyzer.info
    if info.needs_labels and not choice.labels:
        raise BadRequest(f"the analyzer {info.name} needs labels to tell apart, got none")
    if choice.labels and not info.needs_labels:
        raise BadRequest(f"the analyzer {info.name} has its own labels, got {len(choice.labels)}")
    return Choice(
        analyzer=analyzer,
        labels=tuple(choice.labels),
        minimum_score=info.minimum_score if minimum is None else minimum,
    )


def _add_findings(result: pb.AnalyzerResult, findings: Findings) -> None:
    result.detections.extend(map(_detection, findings.detections))
    result.classifications.extend(
        pb.Classification(label=item.label, score=item.score) for item in findings.classifications
    )
    result.segments.extend(
        pb.Segment(label=item.label, mask=pb.Mask(runs=item.mask.runs))
        for item in findings.segments
    )


def _detection(item: Detection) -> pb.Detection:
    box = item.box
    return pb.Detection(
        label=item.label,
        score=item.score,
        box=pb.Box(left=box.left, top=box.top, right=box.right, bottom=box.bottom),
        mask=None if item.mask is None else pb.Mask(runs=item.mask.runs),
    )
