"""Translate analyzers, choices and findings between messages and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ugicm.v1 import analytics_pb2 as pb
from ugicm_analytics.analysis import Choice, Outcome
from ugicm_analytics.results.interface import MissedRecord, ResultQuery
from ugicm_analyzers.errors import UnknownAnalyzer
from ugicm_analyzers.protocol import (
    Analyzer,
    AnalyzerInfo,
    Classification,
    Detection,
    Findings,
    Task,
)
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.wire import (
    check_camera,
    nanoseconds_from_wire,
    nanoseconds_to_wire,
    view_from_wire,
)

__all__ = [
    "analyzer_to_wire",
    "cameras_from_wire",
    "choices_from_wire",
    "missed_to_wire",
    "query_from_wire",
    "result_to_wire",
]

_Scored = TypeVar("_Scored", Detection, Classification)

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
    if not wanted:
        raise BadRequest(f"name an analyzer and its labels: {', '.join(analyzers)} need some")
    names = [choice.name for choice in wanted]
    unknown = sorted(set(names) - set(analyzers))
    if unknown:
        raise UnknownAnalyzer(
            f"no analyzer is called {unknown[0][:80]!r}; there are {', '.join(analyzers)}"
        )
    twice = next((name for name in analyzers if names.count(name) > 1), None)
    if twice is not None:
        raise BadRequest(f"an analyzer is named once, got {twice} {names.count(twice)} times")
    minimum = _minimum_score(options)
    return tuple(_choice(analyzers[choice.name].info, choice, minimum) for choice in wanted)


def analyzer_to_wire(info: AnalyzerInfo) -> pb.Analyzer:
    """Return what an analyzer says of itself as a message."""
    return pb.Analyzer(
        name=info.name,
        task=_TASK_TO_WIRE[info.task],
        version=info.version,
        labels=info.labels,
        needs_labels=info.needs_labels,
    )


def result_to_wire(outcome: Outcome, minimum_score: float) -> pb.AnalyzerResult:
    """Return what came of a choice as a message: findings of a score, the highest first."""
    info = outcome.choice.info
    result = pb.AnalyzerResult(
        analyzer=info.name,
        version=info.version,
        seconds=outcome.seconds,
        labels=outcome.choice.labels,
    )
    if isinstance(outcome.findings, Findings):
        _add_findings(result, outcome.findings, minimum_score)
    else:
        result.failure.CopyFrom(outcome.findings)
    return result


def query_from_wire(request: pb.ListResultsRequest) -> ResultQuery:
    """Return which results are asked for.

    Raises:
        BadRequest: a camera is no name, a time is none, or the score is out of range.
        BadView: the view is out of range.
    """
    time = request.capture_time
    return ResultQuery(
        cameras=cameras_from_wire(request.cameras),
        captured_from_ns=nanoseconds_from_wire(time.start) if time.HasField("start") else None,
        captured_before_ns=nanoseconds_from_wire(time.end) if time.HasField("end") else None,
        analyzers=tuple(request.analyzers),
        labels=tuple(request.labels),
        minimum_score=_minimum_score(request),
        view=view_from_wire(request.view) if request.HasField("view") else None,
        newest_first=request.newest_first,
    )


def cameras_from_wire(cameras: Sequence[str]) -> tuple[str, ...]:
    """Return the names of cameras.

    Raises:
        BadRequest: one is no camera's name.
    """
    for camera in cameras:
        check_camera(camera)
    return tuple(cameras)


def missed_to_wire(record: MissedRecord) -> pb.MissedFrames:
    """Return what was missed as a message."""
    message = pb.MissedFrames(
        analyzer=record.missed.analyzer, record_time=nanoseconds_to_wire(record.recorded_ns)
    )
    why = record.missed.why
    if isinstance(why, pb.FailedFrame):
        message.failed.CopyFrom(why)
    else:
        message.gap.CopyFrom(why)
    return message


def _minimum_score(message: pb.AnalyzeOptions | pb.ListResultsRequest) -> float | None:
    if not message.HasField("minimum_score"):
        return None
    if not 0.0 <= message.minimum_score <= 1.0:
        raise BadRequest(f"a minimum score is from 0 to 1, got {message.minimum_score:g}")
    return message.minimum_score


def _choice(info: AnalyzerInfo, choice: pb.AnalyzerChoice, minimum: float | None) -> Choice:
    if info.needs_labels and not choice.labels:
        raise BadRequest(f"the analyzer {info.name} needs labels to tell apart, got none")
    if choice.labels and not info.needs_labels:
        raise BadRequest(f"the analyzer {info.name} has its own labels, got {len(choice.labels)}")
    return Choice(
        info=info,
        labels=tuple(choice.labels),
        minimum_score=info.minimum_score if minimum is None else minimum,
    )


def _add_findings(result: pb.AnalyzerResult, findings: Findings, minimum_score: float) -> None:
    result.detections.extend(map(_detection, _likeliest(findings.detections, minimum_score)))
    result.classifications.extend(
        pb.Classification(label=item.label, score=item.score)
        for item in _likeliest(findings.classifications, minimum_score)
    )
    result.segments.extend(
        pb.Segment(label=item.label, mask=pb.Mask(runs=item.mask.runs))
        for item in findings.segments
    )


def _likeliest(items: Sequence[_Scored], minimum_score: float) -> list[_Scored]:
    chosen = [item for item in items if item.score >= minimum_score]
    return sorted(chosen, key=lambda item: -item.score)


def _detection(item: Detection) -> pb.Detection:
    box = item.box
    return pb.Detection(
        label=item.label,
        score=item.score,
        box=pb.Box(left=box.left, top=box.top, right=box.right, bottom=box.bottom),
        mask=None if item.mask is None else pb.Mask(runs=item.mask.runs),
    )
