"""What analyzers refuse.

AnalyzerError
  x UnknownAnalyzer        there is no analyzer of that name
  x BadSpecification       a specification asks for what cannot be
  x AnalyzerUnavailable    what it is made of is missing here
  x BadWeights             a file does not hold the network that it should
  x BadLabels              the labels that a caller brings cannot be told apart
"""

from __future__ import annotations

__all__ = [
    "AnalyzerError",
    "AnalyzerUnavailable",
    "BadLabels",
    "BadSpecification",
    "BadWeights",
    "UnknownAnalyzer",
]


class AnalyzerError(Exception):
    """The root of everything analyzers refuse."""


class UnknownAnalyzer(AnalyzerError):
    """There is no analyzer of that name."""


class BadSpecification(AnalyzerError):
    """A specification asks for what cannot be."""


class AnalyzerUnavailable(AnalyzerError):
    """What the analyzer is made of is missing here; the message says what to do."""


class BadWeights(AnalyzerError):
    """A file does not hold the network that it should."""


class BadLabels(AnalyzerError):
    """The labels that a caller brings cannot be told apart."""
