"""What is read from the results store."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any

import grpc

from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import types_pb2
from ugicm_analytics.results.interface import (
    Found,
    Missed,
    MissedRecord,
    Place,
    ResultKey,
    ResultQuery,
)
from ugicm_analytics.results.writes import labels_to_text
from ugicm_servicekit.sqlite import signed, unsigned
from ugicm_servicekit.wire import nanoseconds_to_wire

__all__ = ["select_cursor", "select_has", "select_missed", "select_pictures"]

_PICTURE = "id, camera, epoch, sequence, view, captured_ns, height, width, model_sha256"
_DAMAGED = types_pb2.Failure(
    code=grpc.StatusCode.DATA_LOSS.value[0],
    message="the stored bytes of the result do not match their checksum",
)

# Pieces of SQL, and what stands for their question marks.
_Condition = tuple[str, tuple[Any, ...]]


def select_cursor(db: sqlite3.Connection, watch: str) -> bytes | None:
    """Return where a watch goes on, if it ever began."""
    row = db.execute("SELECT cursor FROM watch WHERE name = ?", (watch,)).fetchone()
    return None if row is None else bytes(row[0])


def select_has(db: sqlite3.Connection, key: ResultKey) -> bool:
    """Tell whether a result is kept that is no failure."""
    row = db.execute(
        "SELECT 1 FROM result JOIN picture ON picture.id = result.picture WHERE camera = ? "
        "AND epoch = ? AND sequence = ? AND view = ? AND analyzer = ? AND result.version = ? "
        "AND labels = ? AND NOT failed",
        (
            key.frame.camera,
            signed(key.frame.epoch),
            signed(key.frame.sequence),
            key.view,
            key.analyzer,
            key.version,
            labels_to_text(key.labels),
        ),
    ).fetchone()
    return row is not None


def select_pictures(
    db: sqlite3.Connection, query: ResultQuery, after: Place | None, limit: int
) -> list[Found]:
    """Return the pictures that follow ``after`` in the order of the query."""
    further, direction = ("<", "DESC") if query.newest_first else (">", "ASC")
    conditions: list[_Condition] = [_with_a_result(query)]
    if query.cameras:
        conditions.append(_one_of("camera", query.cameras))
    if query.captured_from_ns is not None:
        conditions.append(("captured_ns >= ?", (query.captured_from_ns,)))
    if query.captured_before_ns is not None:
        conditions.append(("captured_ns < ?", (query.captured_before_ns,)))
    if query.view is not None:
        conditions.append(("view = ?", (query.view,)))
    if after is not None:
        conditions.append((f"(captured_ns, id) {further} (?, ?)", (after.captured_ns, after.row)))
    rows = db.execute(
        f"SELECT {_PICTURE} FROM picture WHERE {' AND '.join(sql for sql, _ in conditions)} "
        f"ORDER BY captured_ns {direction}, id {direction} LIMIT ?",
        (*(value for _, values in conditions for value in values), limit),
    ).fetchall()
    return [_found(db, query, row) for row in rows]


def select_missed(
    db: sqlite3.Connection, cameras: Sequence[str], after: int, limit: int
) -> list[MissedRecord]:
    """Return what was missed of some cameras, or of all, behind the row ``after``."""
    chosen, names = _one_of("camera", cameras) if cameras else ("TRUE", ())
    rows = db.execute(
        "SELECT id, recorded_ns, analyzer, camera, epoch, first_sequence, last_sequence, "
        f"gap_reason, failure FROM missed WHERE id > ? AND {chosen} ORDER BY id LIMIT ?",
        (after, *names, limit),
    )
    return [_missed(*row) for row in rows]


def _one_of(column: str, values: Sequence[str]) -> _Condition:
    return f"{column} IN (SELECT value FROM json_each(?))", (json.dumps(list(values)),)


def _with_a_result(query: ResultQuery) -> _Condition:
    """Return what a picture needs so that there is anything to tell of it."""
    conditions: list[_Condition] = [("result.picture = picture.id", ())]
    if query.analyzers:
        conditions.append(_one_of("result.analyzer", query.analyzers))
    if _asks_for_findings(query):
        of_finding: list[_Condition] = [("finding.result = result.id", ())]
        if query.labels:
            of_finding.append(_one_of("finding.label", query.labels))
        if query.minimum_score is not None:
            condition = "(finding.score IS NULL OR finding.score >= ?)"
            of_finding.append((condition, (query.minimum_score,)))
        conditions.append(_exists("finding", of_finding))
    return _exists("result", conditions)


def _exists(table: str, conditions: Sequence[_Condition]) -> _Condition:
    sql = " AND ".join(sql for sql, _ in conditions)
    return (
        f"EXISTS (SELECT 1 FROM {table} WHERE {sql})",
        tuple(value for _, values in conditions for value in values),
    )


def _asks_for_findings(query: ResultQuery) -> bool:
    return bool(query.labels) or query.minimum_score is not None


def _found(db: sqlite3.Connection, query: ResultQuery, row: Sequence[Any]) -> Found:
    picture, camera, epoch, sequence, view, captured_ns, height, width, sha256 = row
    analysis = pb.Analysis(
        key=types_pb2.FrameKey(camera=camera, epoch=unsigned(epoch), sequence=unsigned(sequence)),
        capture_time=nanoseconds_to_wire(captured_ns),
        view=view,
        height=height,
        width=width,
        model_sha256=sha256,
    )
    results = db.execute(
        "SELECT analyzer, version, stored_ns, crc32, body FROM result WHERE picture = ? "
        "ORDER BY analyzer, id",
        (picture,),
    )
    newest_ns = 0
    for analyzer, version, stored_ns, checksum, body in results:
        if query.analyzers and analyzer not in query.analyzers:
            continue
        newest_ns = max(newest_ns, stored_ns)
        if not isinstance(body, bytes) or zlib.crc32(body) != checksum:
            analysis.results.add(analyzer=analyzer, version=version, failure=_DAMAGED)
            continue
        result = pb.AnalyzerResult.FromString(body)
        if _asks_for_findings(query):
            _leave_out(result, query)
            if not (result.detections or result.classifications or result.segments):
                continue
        analysis.results.append(result)
    analysis.store_time.CopyFrom(nanoseconds_to_wire(newest_ns))
    return Found(Place(captured_ns, picture), analysis)


def _leave_out(result: pb.AnalyzerResult, query: ResultQuery) -> None:
    """Take out of a result what the query does not ask for."""
    labels, least = set(query.labels), query.minimum_score

    def has_label(label: str) -> bool:
        return not labels or label in labels

    def has_score(score: float) -> bool:
        return least is None or score >= least

    detections = [one for one in result.detections if has_label(one.label) and has_score(one.score)]
    kinds = [one for one in result.classifications if has_label(one.label) and has_score(one.score)]
    segments = [one for one in result.segments if has_label(one.label)]
    for name in ("detections", "classifications", "segments"):
        result.ClearField(name)
    result.detections.extend(detections)
    result.classifications.extend(kinds)
    result.segments.extend(segments)


def _missed(
    row: int,
    recorded_ns: int,
    analyzer: str,
    camera: str,
    epoch: int,
    first: int,
    last: int,
    gap_reason: int | None,
    failure: bytes | None,
) -> MissedRecord:
    why: types_pb2.Gap | pb.FailedFrame
    if failure is None:
        why = types_pb2.Gap(
            camera=camera,
            epoch=unsigned(epoch),
            first_sequence=unsigned(first),
            last_sequence=unsigned(last),
            reason=types_pb2.GapReason.ValueType(gap_reason or 0),
        )
    else:
        key = types_pb2.FrameKey(camera=camera, epoch=unsigned(epoch), sequence=unsigned(first))
        why = pb.FailedFrame(key=key, failure=types_pb2.Failure.FromString(failure))
    return MissedRecord(row, recorded_ns, Missed(analyzer, why))
