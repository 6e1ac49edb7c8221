"""A Dockerfile's stages and instructions."""

from __future__ import annotations

import re
import shlex


class Dockerfile:
    """What a Dockerfile says.

    Attributes:
        head: the instructions before the first stage.
        stages: the instructions of each stage, by its name; the last one has the name "".
    """

    def __init__(self, path):
        joined = re.sub(r"\\\n\s*", "", path.read_text())
        self.head = []
        self.stages = {}
        current = self.head
        for line in joined.splitlines():
            if not line or line.startswith("#"):
                continue
            word, _, rest = line.partition(" ")
            if word == "FROM":
                current = self.stages[rest.partition(" AS ")[2]] = []
            current.append((word, rest.strip()))

    def of(self, stage, word):
        """Return what follows an instruction, each time that a stage has it."""
        return [rest for name, rest in self.stages[stage] if name == word]

    @property
    def environment(self):
        """The variables of the last stage."""
        pairs = (shlex.split(text) for text in self.of("", "ENV"))
        return dict(pair.split("=", 1) for texts in pairs for pair in texts)

    @property
    def from_tree(self):
        """Every path of the tree that it copies, variables left out."""
        copied = [text for stage in self.stages for text in self.of(stage, "COPY")]
        return {
            source
            for text in copied
            if not text.startswith("--from")
            for source in text.split()[:-1]
            if not source.startswith("$")
        }
