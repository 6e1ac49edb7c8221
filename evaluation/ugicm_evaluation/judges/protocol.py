"""What a judge is: a model that looks at a picture and answers with one array."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ugicm_evaluation.datasets.protocol import Picture
from ugicm_evaluation.errors import BadJudge

__all__ = ["Judge", "file_hash"]


class Judge(Protocol):
    """A model with its own pre- and post-processing; what its array means, each one says."""

    @property
    def name(self) -> str: ...

    @property
    def weights_hash(self) -> str: ...

    def look(self, picture: Picture) -> NDArray[Any]: ...


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        BadJudge: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadJudge(f"{path} cannot be read: {error.strerror}") from error
