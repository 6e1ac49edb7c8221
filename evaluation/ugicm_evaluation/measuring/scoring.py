"""Scores what judges answered, from what was kept of each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ugicm_evaluation.bootstrap import draw_pictures
from ugicm_evaluation.errors import NothingMeasured, WorkerLost
from ugicm_evaluation.measuring.cache import Cache
from ugicm_evaluation.measuring.measure import ORIGINAL, Measured, answer_name
from ugicm_evaluation.measuring.plan import Coding
from ugicm_evaluation.measuring.run import Workers, each
from ugicm_evaluation.tasks.protocol import Answers, MeanTask, Scores, Task

__all__ = ["Scored", "Seen", "score"]

# One view of one coding; None stands for the uncompressed picture.
Seen: TypeAlias = tuple[Coding, float] | None


@dataclass(frozen=True)
class _Scoring:
    """One task's scores of one view of one coding, or of the uncompressed pictures."""

    task: Task
    seen: Seen
    keys: Sequence[str]
    entries: Sequence[Path]
    originals: Sequence[Path]
    draws: int
    seed: int


@dataclass(frozen=True, eq=False)
class Scored:
    """A task's scores.

    Attributes:
        draws: ``(metrics, D)``, of each draw of pictures.
        pictures: ``(metrics, pictures)``, of each picture; empty where a single one has none.
    """

    draws: Scores
    pictures: Scores


def score(
    pool: Workers,
    dataset: str,
    measured: Sequence[Measured],
    tasks: Sequence[Task],
    *,
    draws: int,
    seed: int,
) -> list[dict[Seen, Scored]]:
    """Return for each task its scores of everything that was seen, the originals first.

    Args:
        pool: whose processes score.
        dataset: shown while it goes on.
        measured: pictures that were all coded in the same ways.
        tasks: of judges that looked.
        draws: of the bootstrap.
        seed: of the draws.
    """
    if not tasks:
        return []
    every = [(coding, view) for coding in measured[0].coded for view in coding.views]
    scorings = [
        _Scoring(
            task=task,
            seen=seen,
            keys=[one.key for one in measured],
            entries=[one.entry if seen is None else one.coded[seen[0]].entry for one in measured],
            originals=[one.entry for one in measured],
            draws=draws,
            seed=seed,
        )
        for task in tasks
        for seen in [None, *every]
    ]
    results = each(pool, _score, scorings, f"scores on {dataset}", lost=_lost)
    count = len(every) + 1
    return [
        {
            scoring.seen: scores
            for scoring, scores in list(zip(scorings, results, strict=True))[start : start + count]
        }
        for start in range(0, len(scorings), count)
    ]


def _lost(scoring: _Scoring) -> Scored:
    raise WorkerLost(
        f"the process that scored {scoring.task.judge} died, with nothing else under way; what "
        "was measured is kept"
    )


def _score(scoring: _Scoring) -> Scored:
    judge = scoring.task.judge
    view = ORIGINAL if scoring.seen is None else scoring.seen[1]
    draws = draw_pictures(len(scoring.keys), draws=scoring.draws, seed=scoring.seed)
    given = (
        scoring.keys,
        _answers(scoring.entries, answer_name(judge, view)),
        _answers(scoring.originals, answer_name(judge, ORIGINAL)),
    )
    if isinstance(scoring.task, MeanTask):
        each_picture = scoring.task.pictures(*given)
    else:
        each_picture = np.zeros((0, len(scoring.keys)))
    return Scored(scoring.task.score(*given, draws), each_picture)


def _answers(entries: Sequence[Path], name: str) -> Answers:
    answers = []
    for path in entries:
        entry = Cache.load(path, name)
        if entry is None:
            raise NothingMeasured(f"{path} was lost while the report was made")
        answers.append(entry[name])
    return answers
