"""Opens the judge that a configuration describes."""

from __future__ import annotations

from ugicm_evaluation.config import Analyzer, Clip, JudgeConfig
from ugicm_evaluation.judges.analyzer import AnalyzerJudge, Answer
from ugicm_evaluation.judges.clip_space import ClipSpace
from ugicm_evaluation.judges.protocol import Judge

__all__ = ["open_judge"]


def open_judge(config: JudgeConfig) -> Judge:
    """Return the judge, ready.

    Raises:
        AnalyzerError: the analyzer is not to be had.
        BadJudge: the analyzer cannot answer what it is to be asked.
        TrainingError: the teacher is not to be had.
    """
    match config:
        case Analyzer():
            return AnalyzerJudge(
                config.name,
                config.analyzer,
                labels=config.labels,
                least_score=config.least_score,
                shapes=Answer(config.shapes),
            )
        case Clip():
            return ClipSpace(config.teacher)
