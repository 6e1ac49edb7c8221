"""Analyzers whose findings a test can foretell."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager

from ugicm_analyzers.protocol import (
    AnalyzerInfo,
    Box,
    Classification,
    Detection,
    Findings,
    Mask,
    Segment,
    Task,
)


class Brightness:
    """Classifies pictures as the brightness of their first pixel."""

    def __init__(self):
        self._go_on = threading.Event()
        self._go_on.set()
        self._held_up = threading.Event()

    info = AnalyzerInfo(
        name="brightness", task=Task.CLASSIFY, version="1", labels=("bright",), minimum_score=0.0
    )

    @contextmanager
    def holding_up(self):
        """Let calls wait until the block ends."""
        self._go_on.clear()
        try:
            yield
        finally:
            self._go_on.set()

    async def until_held_up(self):
        """Wait until a call waits."""
        assert await asyncio.to_thread(self._held_up.wait, 60)

    def load(self):
        pass

    def analyze(self, pictures, labels):
        self._held_up.set()
        assert self._go_on.wait(60)
        return [Findings(classifications=(bright(picture),)) for picture in pictures]


def bright(picture):
    return Classification("bright", int(picture[0, 0, 0]) / 255)


class Everything:
    """Finds one thing of every kind, of the labels that the request brings."""

    info = AnalyzerInfo(
        name="everything", task=Task.SEGMENT, version="2", labels=(), needs_labels=True
    )

    def load(self):
        pass

    def analyze(self, pictures, labels):
        return [
            Findings(
                detections=(
                    Detection(labels[0], 0.5, Box(0.0, 0.0, 1.5, 2.0), Mask((0, 2, 4))),
                    Detection(labels[0], 0.75, Box(1.0, 0.0, 2.0, 2.0)),
                    Detection(labels[0], 0.25, Box(0.0, 0.0, 1.0, 1.0)),
                ),
                classifications=(Classification(labels[0], 0.4), Classification(labels[1], 0.6)),
                segments=(Segment(labels[1], Mask((1, 5))),),
            )
            for _ in pictures
        ]


class Broken:
    """Fails as libraries do: by an error of its own, which no table knows."""

    info = AnalyzerInfo(name="broken", task=Task.DETECT, version="1", labels=("none",))

    def load(self):
        pass

    def analyze(self, pictures, labels):
        raise ZeroDivisionError("a secret of the library")
