"""Photographs in a folder for each class, as ImageNet's are."""

from __future__ import annotations

from pathlib import Path

from ugicm_evaluation.datasets.folder import is_picture
from ugicm_evaluation.datasets.protocol import Sample
from ugicm_evaluation.errors import BadDataset

__all__ = ["ClassFolderPictures"]


class ClassFolderPictures:
    """The picture files in each class's folder; a sample's key is ``folder/file``.

    Attributes:
        classes: class index of each sample's key.
    """

    def __init__(self, folder: Path, classes: Path | None, *, name: str) -> None:
        """Read the folders.

        Args:
            folder: of the classes' folders.
            classes: a text file whose lines begin with folder names, in the order of the class
                indexes; None for the folders' own order by name.
            name: of the dataset.

        Raises:
            BadDataset: there are no such folders, or one that ``classes`` does not name.
        """
        if not folder.is_dir():
            raise BadDataset(f"{folder} is no folder")
        folders = sorted(path.name for path in folder.iterdir() if path.is_dir())
        order = folders if classes is None else _read_order(classes)
        indexes = {one: index for index, one in enumerate(order)}
        unknown = [one for one in folders if one not in indexes]
        if unknown:
            raise BadDataset(f"{classes} does not name the class {unknown[0]!r} of {folder}")
        self.name = name
        self.samples = [
            Sample(f"{one}/{path.name}", path)
            for one in folders
            for path in sorted((folder / one).iterdir())
            if is_picture(path)
        ]
        if not self.samples:
            raise BadDataset(f"{folder} holds no folders with picture files")
        self.classes = {sample.key: indexes[sample.path.parent.name] for sample in self.samples}


def _read_order(classes: Path) -> list[str]:
    try:
        lines = classes.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadDataset(f"{classes} holds no list of classes: {error}") from error
    return [line.split(maxsplit=1)[0].rstrip(",") for line in lines if line.strip()]
