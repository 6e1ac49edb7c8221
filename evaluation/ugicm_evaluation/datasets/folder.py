"""A folder of pictures of which nothing else is known."""

from __future__ import annotations

from pathlib import Path

from ugicm_evaluation.datasets.protocol import Sample
from ugicm_evaluation.errors import BadDataset

__all__ = ["PictureFolder"]

_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class PictureFolder:
    """The picture files directly in a folder, by name."""

    def __init__(self, folder: Path, *, name: str | None = None) -> None:
        """Raise ``BadDataset`` where the folder is missing or holds no picture files."""
        if not folder.is_dir():
            raise BadDataset(f"{folder} is no folder")
        self.name = name or folder.name
        self.samples = [
            Sample(path.name, path)
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in _SUFFIXES
        ]
        if not self.samples:
            raise BadDataset(f"{folder} holds no picture files")
