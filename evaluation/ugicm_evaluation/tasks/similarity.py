"""Meaning the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ugicm_evaluation.tasks.protocol import Answers, Draws, Metric, Role, Scores

__all__ = ["Similarity"]


@dataclass(frozen=True)
class Similarity:
    """Score vectors by their cosine with the original's."""

    judge: str
    metrics = (Metric("cosine with the original", "", Role.LEADING),)

    def score(
        self, keys: Sequence[str], answers: Answers, originals: Answers, draws: Draws
    ) -> Scores:
        scores: Scores = self.pictures(keys, answers, originals) @ draws.T / len(keys)
        return scores

    def pictures(self, keys: Sequence[str], answers: Answers, originals: Answers) -> Scores:
        found, original = (np.stack(one).astype(np.float64) for one in (answers, originals))
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(original, axis=1)
        cosines = (found * original).sum(1) / np.maximum(lengths, np.finfo(np.float64).tiny)
        each: Scores = cosines[None]
        return each
