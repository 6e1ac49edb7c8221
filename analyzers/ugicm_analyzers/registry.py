"""The analyzers that exist, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ugicm_analyzers.embedded.faces import FaceDetector
from ugicm_analyzers.embedded.people import PeopleDetector
from ugicm_analyzers.errors import UnknownAnalyzer
from ugicm_analyzers.protocol import Analyzer

__all__ = ["ANALYZERS", "load_analyzers"]

ANALYZERS: Mapping[str, Callable[[], Analyzer]] = {
    "faces": FaceDetector,
    "people": PeopleDetector,
}


def load_analyzers(names: Sequence[str]) -> dict[str, Analyzer]:
    """Return analyzers that are ready, by name and in the order of their names.

    Raises:
        UnknownAnalyzer: there is no analyzer of one of the names.
        AnalyzerUnavailable: what one is made of is missing here.
    """
    unknown = sorted(set(names) - set(ANALYZERS))
    if unknown:
        names, known = ", ".join(map(repr, unknown)), ", ".join(sorted(ANALYZERS))
        raise UnknownAnalyzer(f"no analyzer is called {names}; there are {known}")
    analyzers = {name: ANALYZERS[name]() for name in sorted(set(names))}
    for analyzer in analyzers.values():
        analyzer.load()
    return analyzers
