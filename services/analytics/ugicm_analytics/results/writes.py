"""What is written when results come; each call writes all of its rows or none."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence

from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import types_pb2
from ugicm_analytics.results.interface import Missed, Progress
from ugicm_servicekit.sqlite import signed
from ugicm_servicekit.wire import nanoseconds_from_wire

__all__ = ["insert_analysis", "insert_missed", "labels_to_text", "set_progress"]

_MISSED_KEY = ("analyzer", "camera", "epoch", "first_sequence", "last_sequence")


def insert_analysis(db: sqlite3.Connection, analysis: pb.Analysis, stored_ns: int) -> set[str]:
    """Store the results that are not there, and return which analyzers' those are."""
    picture = _picture_row(db, analysis, stored_ns)
    return {
        result.analyzer
        for result in analysis.results
        if _insert_result(db, picture, result, analysis.key, stored_ns)
    }


def insert_missed(db: sqlite3.Connection, missed: Missed, recorded_ns: int) -> None:
    """Store once that frames were missed."""
    why = missed.why
    if isinstance(why, types_pb2.Gap):
        span = (why.camera, why.epoch, why.first_sequence, why.last_sequence)
        reason, failure = int(why.reason), None
    else:
        span = (why.key.camera, why.key.epoch, why.key.sequence, why.key.sequence)
        reason, failure = None, why.failure.SerializeToString()
    camera, *numbers = span
    db.execute(
        f"INSERT OR IGNORE INTO missed ({', '.join(_MISSED_KEY)}, recorded_ns, gap_reason, failure)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (missed.analyzer, camera, *map(signed, numbers), recorded_ns, reason, failure),
    )


def set_progress(db: sqlite3.Connection, progress: Progress) -> None:
    """Store how far a watch has come."""
    db.execute(
        "INSERT INTO watch (name, cursor) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor",
        (progress.watch, progress.cursor),
    )


def labels_to_text(labels: Sequence[str]) -> str:
    """Return labels as the column that tells results of different ones apart."""
    return json.dumps(list(labels))


def _picture_row(db: sqlite3.Connection, analysis: pb.Analysis, stored_ns: int) -> int:
    key = analysis.key
    columns = (key.camera, signed(key.epoch), signed(key.sequence), analysis.view)
    row = db.execute(
        "SELECT id FROM picture WHERE camera = ? AND epoch = ? AND sequence = ? AND view = ?",
        columns,
    ).fetchone()
    if row is not None:
        return int(row[0])
    inserted = db.execute(
        "INSERT INTO picture (camera, epoch, sequence, view, captured_ns, stored_ns, height, "
        "width, model_sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *columns,
            nanoseconds_from_wire(analysis.capture_time),
            stored_ns,
            analysis.height,
            analysis.width,
            analysis.model_sha256,
        ),
    )
    assert inserted.lastrowid is not None
    return inserted.lastrowid


def _insert_result(
    db: sqlite3.Connection,
    picture: int,
    result: pb.AnalyzerResult,
    key: types_pb2.FrameKey,
    stored_ns: int,
) -> bool:
    failed = result.HasField("failure")
    columns = (picture, result.analyzer, result.version, labels_to_text(result.labels))
    same = "picture = ? AND analyzer = ? AND version = ? AND labels = ?"
    known = db.execute(f"SELECT failed FROM result WHERE {same}", columns).fetchone()
    if known is not None:
        if failed or not known[0]:
            return False
        db.execute(f"DELETE FROM result WHERE {same}", columns)
    body = result.SerializeToString()
    inserted = db.execute(
        "INSERT INTO result (picture, analyzer, version, labels, stored_ns, failed, crc32, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*columns, stored_ns, failed, zlib.crc32(body), body),
    )
    row = inserted.lastrowid
    db.executemany(
        "INSERT INTO finding (result, label, score) VALUES (?, ?, ?)",
        [(row, label, score) for label, score in _findings(result)],
    )
    # It was not to be had before, and is now.
    db.execute(
        f"DELETE FROM missed WHERE {' AND '.join(f'{name} = ?' for name in _MISSED_KEY)} "
        "AND failure IS NOT NULL",
        (result.analyzer, key.camera, signed(key.epoch), *2 * (signed(key.sequence),)),
    )
    return True


def _findings(result: pb.AnalyzerResult) -> Iterator[tuple[str, float | None]]:
    for detection in result.detections:
        yield detection.label, detection.score
    for classification in result.classifications:
        yield classification.label, classification.score
    for segment in result.segments:
        yield segment.label, None
