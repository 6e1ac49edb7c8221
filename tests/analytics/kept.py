"""Results to keep, and looks into the file that keeps them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from google.protobuf.timestamp_pb2 import Timestamp

from tests.analytics.harness import key
from ugicm.v1 import analytics_pb2 as pb
from ugicm.v1 import types_pb2 as types

NOW_NS = 1_700_000_000_000_000_000


def classified(*scores, analyzer="kinds", version="1", label="cat"):
    kinds = [pb.Classification(label=label, score=score) for score in scores]
    return pb.AnalyzerResult(
        analyzer=analyzer, version=version, classifications=kinds, seconds=0.25
    )


def failed(analyzer="kinds", message="no luck"):
    failure = types.Failure(code=13, message=message)
    return pb.AnalyzerResult(analyzer=analyzer, version="1", failure=failure)


def analysis(*results, sequence=0, camera="gate", view=1.0, seconds=0):
    return pb.Analysis(
        key=key(sequence, camera),
        capture_time=Timestamp(seconds=1_700_000_000 + seconds),
        height=4,
        width=6,
        view=view,
        model_sha256="ab" * 32,
        results=results or [classified(0.75)],
    )


# What the golden stores hold: every kind of row, and numbers beyond SQLite's own.
GOLDEN = [
    analysis(classified(0.75, 0.5), failed("broken"), sequence=2**64 - 1),
    analysis(
        pb.AnalyzerResult(
            analyzer="things",
            version="2",
            labels=["cat", "dog"],
            detections=[
                pb.Detection(
                    label="dog",
                    score=0.5,
                    box=pb.Box(left=1, top=0, right=2.5, bottom=3),
                    mask=pb.Mask(runs=[0, 2, 22]),
                )
            ],
            segments=[pb.Segment(label="cat", mask=pb.Mask(runs=[1, 23]))],
        ),
        camera="yard",
        seconds=1,
        view=0.0,
    ),
]


def ask(path, sql, *parameters):
    with closing(sqlite3.connect(path)) as db:
        (value,) = db.execute(sql, parameters).fetchone()
    return value


def change(path, sql, *parameters):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(sql, parameters)


def results_of_frames(path):
    """Return how many results the file has of each frame and analyzer."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "SELECT camera, sequence, analyzer, count(*) FROM picture "
            "JOIN result ON result.picture = picture.id GROUP BY camera, epoch, sequence, analyzer"
        ).fetchall()
    return {(camera, number + 2**63, analyzer): count for camera, number, analyzer, count in rows}
