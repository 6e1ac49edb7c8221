"""Naming what a picture shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ugicm_evaluation.metrics import classification
from ugicm_evaluation.tasks.protocol import Answers, Better, Draws, Metric, Role, Scores

__all__ = ["Classification"]


@dataclass(frozen=True)
class Classification:
    """Score a classifier that answers with the logarithms of probabilities.

    Attributes:
        classes: the true class of each picture's key; None where they are not known.
    """

    judge: str
    classes: Mapping[str, int] | None = field(hash=False)

    @property
    def metrics(self) -> Sequence[Metric]:
        accuracy = (
            Metric("top-1", "%", Role.ASKED),
            Metric("top-5", "%"),
            Metric("probability of the true class", "%"),
        )
        return (
            Metric("agreement", "%", Role.LEADING),
            *(accuracy if self.classes is not None else ()),
            Metric("KL divergence from the original's answer", "nats", better=Better.LOWER),
        )

    def score(
        self, keys: Sequence[str], answers: Answers, originals: Answers, draws: Draws
    ) -> Scores:
        scores: Scores = self.pictures(keys, answers, originals) @ draws.T / len(keys)
        return scores

    def pictures(self, keys: Sequence[str], answers: Answers, originals: Answers) -> Scores:
        found = np.stack(answers).astype(np.float64)
        original = np.stack(originals).astype(np.float64)
        per_picture = [100.0 * classification.agreement(found, original)]
        if self.classes is not None:
            classes = np.array([self.classes[key] for key in keys])
            per_picture += [
                100.0 * classification.correct(found, classes, within=1),
                100.0 * classification.correct(found, classes, within=5),
                100.0 * classification.true_class_probability(found, classes),
            ]
        per_picture.append(classification.divergence(found, original))
        return np.stack(per_picture)
