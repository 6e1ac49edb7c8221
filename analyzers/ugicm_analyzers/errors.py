"""What analyzers refuse.

AnalyzerError             the root
  x UnknownAnalyzer        there is no analyzer of that name
  x AnalyzerUnavailable    what it is made of is missing here
"""

from __future__ import annotations

__all__ = ["AnalyzerError", "AnalyzerUnavailable", "UnknownAnalyzer"]


class AnalyzerError(Exception):
    """The root of everything analyzers refuse."""


class UnknownAnalyzer(AnalyzerError):
    """There is no analyzer of that name."""


class AnalyzerUnavailable(AnalyzerError):
    """What the analyzer is made of is missing here; the message says what to do."""
