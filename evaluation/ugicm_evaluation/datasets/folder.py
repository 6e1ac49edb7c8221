"""A folder of pictures of which nothing else is known."""

from __future__ import annotations

from pathlib import Path

from ugicm_evaluation.datasets.protocol import Sample
from ugicm_evaluation.errors import BadDataset

__all__ = ["PictureFolder", "is_picture"]

_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def is_picture(path: Path) -> bool:
    """Return whether a file's name says that it is a picture."""
    return path.suffix.lower() in _SUFFIXES


class PictureFolder:
    """The picture files directly in a folder, by name."""

    def __init__(self, folder: Path, *, name: str | None = None) -> None:
        """Raise ``BadDataset`` where the folder is missing or holds no picture files."""
        if not folder.is_dir():
            raise BadDataset(f"{folder} is no folder")
        self.name = name or folder.name
        self.samples = [
            Sample(path.name, path) for path in sorted(folder.iterdir()) if is_picture(path)
        ]
        if not self.samples:
            raise BadDataset(f"{folder} holds no picture files")
