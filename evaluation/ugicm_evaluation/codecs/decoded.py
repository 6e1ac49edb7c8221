"""Pictures that a codec decoded elsewhere, with the bytes that it took."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ugicm_evaluation.codecs.protocol import Outcome
from ugicm_evaluation.datasets.protocol import read_picture
from ugicm_evaluation.errors import BadCodec, BadPicture

__all__ = ["DecodedPictures"]

_COLUMNS = ("picture", "quality", "bytes", "file")


@dataclass(frozen=True)
class _Row:
    num_bytes: int
    file: Path


class DecodedPictures:
    """A CSV file with the columns ``picture``, ``quality``, ``bytes``, ``file`` and maybe ``view``.

    ``picture`` is a sample's key, with or without its suffix; ``file`` is relative to the table.

    Attributes:
        settings: qualities that the table names, ascending, and the views of each.
        identity: of the table.
    """

    def __init__(self, table: Path, *, name: str) -> None:
        """Raise ``BadCodec`` where the table is missing, or a row of it is wrong."""
        self.name = name
        self._table = table
        self._rows: dict[tuple[str, int, float], _Row] = {}
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                missing = [one for one in _COLUMNS if one not in (reader.fieldnames or ())]
                if missing:
                    raise BadCodec(f"{table} has no column {missing[0]!r}")
                for row in reader:
                    self._add(row, reader.line_num)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise BadCodec(f"{table} cannot be read: {error}") from error
        if not self._rows:
            raise BadCodec(f"{table} holds no rows")
        named = sorted({(quality, view) for _, quality, view in self._rows})
        self.settings: dict[int, tuple[float, ...]] = {
            quality: tuple(view for other, view in named if other == quality)
            for quality, _ in named
        }
        self.identity = hashlib.sha256(table.read_bytes()).hexdigest()

    def outcome(self, key: str, quality: int, views: Sequence[float]) -> Outcome:
        rows = [self._row(key, quality, view) for view in views]
        sizes = {row.num_bytes for row in rows}
        if len(sizes) > 1:
            raise BadPicture(
                f"{self._table.name}: the views of {key} at quality {quality} are of one stream, "
                f"and have {min(sizes)} and {max(sizes)} bytes"
            )
        pictures = [read_picture(row.file) for row in rows]
        digest = hashlib.sha256()
        for picture in pictures:
            digest.update(repr(picture.shape).encode() + picture.tobytes())
        (num_bytes,) = sizes
        return Outcome(num_bytes, pictures, f"{self.name} {num_bytes} {digest.hexdigest()}")

    def _add(self, row: Mapping[str, str | None], line: int) -> None:
        try:
            quality, num_bytes = int(row["quality"] or ""), int(row["bytes"] or "")
            view = float(row.get("view") or 0.0)
        except ValueError as error:
            raise BadCodec(f"{self._table}, line {line}: {error}") from error
        if num_bytes < 1 or not 0.0 <= view <= 1.0:
            raise BadCodec(
                f"{self._table}, line {line}: bytes are 1 or more and a view is from 0 to 1, "
                f"got {num_bytes} and {view}"
            )
        key = (row["picture"] or "", quality, view)
        if key in self._rows or not row["file"] or not row["picture"]:
            raise BadCodec(f"{self._table}, line {line}: a second row of {key}, or an empty field")
        self._rows[key] = _Row(num_bytes, self._table.parent / row["file"])

    def _row(self, key: str, quality: int, view: float) -> _Row:
        for name in (key, str(Path(key).with_suffix(""))):
            row = self._rows.get((name, quality, view))
            if row is not None:
                return row
        raise BadPicture(
            f"{self._table.name} has no row of {key} at quality {quality}, view {view:g}"
        )
