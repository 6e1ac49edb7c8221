"""Write annotated pictures: one file each, a contact sheet, or a video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Protocol

import av
import numpy as np
from av.container import OutputContainer
from PIL import Image, ImageOps

from ugicm_client.annotation import Finding, annotate, readable
from ugicm_client.errors import SourceError, UnwritablePicture
from ugicm_client.files import Existing, refuse_existing, write_atomically, written_atomically
from ugicm_client.outputs import plan, refuse_existing_outputs
from ugicm_client.pictures import Pixels, format_of, picture_bytes
from ugicm_client.sheet import Tile, draw_sheet, fitted
from ugicm_client.wire import parse_key

__all__ = ["AnnotatedFiles", "opened_annotated_files"]

_CONTAINER_OF_SUFFIX = {".mp4": "mp4", ".mkv": "matroska"}
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_COLUMNS = 4
# A sheet is drawn in memory: this one has 60 megapixels.
_MOST_ON_SHEET = 400


class AnnotatedFiles(Protocol):
    """Where annotated pictures go."""

    def add(self, source: Path, image: Pixels, findings: Sequence[Finding]) -> None:
        """Take the next picture.

        Raises:
            ServiceError: a finding does not fit the picture.
            PictureError, OSError: it cannot be written.
        """


@contextmanager
def opened_annotated_files(
    out: Path, sources: Sequence[Path], *, existing: Existing, fps: float
) -> Iterator[AnnotatedFiles]:
    """Open what ``out`` names in this context; at its end, and not before, the file is there.

    Args:
        out: ``.mp4`` or ``.mkv`` for a video; ``.png``, ``.jpg`` or ``.webp`` for one picture, or
            a contact sheet of several; else a folder, with one ``NAME.annotated.png`` for each.
        sources: what the pictures are of.
        existing: what to do with files that are there.
        fps: of a video.

    Raises:
        ValueError: pictures of two sources would have one name.
        UnwritablePicture: too many pictures for a sheet.
        OutputExists: a file is there and is not to be replaced.
        SourceError: no picture came, for a sheet or a video.
        OSError: the file cannot be written.
    """
    suffix = out.suffix.lower()
    if out.is_dir() or suffix not in (*_CONTAINER_OF_SUFFIX, *_PICTURE_SUFFIXES):
        yield _open_folder(out, sources, existing)
        return
    if existing is Existing.REFUSE:
        refuse_existing(out)
    if suffix in _CONTAINER_OF_SUFFIX:
        out.parent.mkdir(parents=True, exist_ok=True)
        with written_atomically(out, existing=existing) as file:
            video = _Video(file, out, _CONTAINER_OF_SUFFIX[suffix], fps)
            yield video
            video.close()
        return
    if len(sources) > _MOST_ON_SHEET:
        raise UnwritablePicture(
            f"a contact sheet has room for {_MOST_ON_SHEET} pictures, got {len(sources)}; "
            "name a folder or a video"
        )
    sheet = _Sheet(out, len(sources), existing)
    yield sheet
    sheet.write()


def _open_folder(folder: Path, sources: Sequence[Path], existing: Existing) -> AnnotatedFiles:
    jobs = plan([_file_name(source) for source in sources], f"{folder}/", [".annotated.png"])
    if existing is Existing.REFUSE:
        refuse_existing_outputs(jobs)
    targets = [job.targets[0] for job in jobs]
    return _Folder(dict(zip(sources, targets, strict=True)), existing)


def _file_name(source: Path) -> Path:
    """Return a source, or for a frame's key the name of its stream as a file."""
    try:
        key = parse_key(str(source))
    except ValueError:
        return source
    return source if source.exists() else Path(f"{key.camera}-{key.epoch}-{key.sequence:06d}.ugi")


@dataclass(frozen=True)
class _Folder:
    targets: dict[Path, Path]
    existing: Existing

    def add(self, source: Path, image: Pixels, findings: Sequence[Finding]) -> None:
        target = self.targets[source]
        drawn = annotate(readable(image), findings, shape=_shape(image))
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, picture_bytes(np.asarray(drawn), "png"), existing=self.existing)


class _Sheet:
    """A contact sheet; of a single source, its picture at full size."""

    def __init__(self, out: Path, num_sources: int, existing: Existing) -> None:
        self._out = out
        self._num_sources = num_sources
        self._existing = existing
        self._single: Pixels | None = None
        self._tiles: list[Tile] = []
        self._found: Counter[str] = Counter()

    def add(self, source: Path, image: Pixels, findings: Sequence[Finding]) -> None:
        if self._num_sources == 1:
            self._single = np.asarray(annotate(readable(image), findings, shape=_shape(image)))
            return
        found = Counter(finding.label for finding in findings)
        self._found += found
        drawn = annotate(fitted(image), findings, shape=_shape(image))
        self._tiles.append(Tile(drawn, (source.name, _counted(found))))

    def write(self) -> None:
        """Write the file.

        Raises:
            SourceError: there was no picture.
        """
        image = self._single
        if self._tiles:
            starts = range(0, len(self._tiles), _COLUMNS)
            image = draw_sheet(
                [self._tiles[start : start + _COLUMNS] for start in starts],
                title=f"{len(self._tiles)} pictures",
                subtitle=f"found: {_counted(self._found)}",
            )
        if image is None:
            raise _nothing_to_draw(self._out)
        self._out.parent.mkdir(parents=True, exist_ok=True)
        data = picture_bytes(image, format_of(self._out))
        write_atomically(self._out, data, existing=self._existing)


class _Video:
    """H.264 at the size of the first picture; others are fitted into it, on black."""

    def __init__(self, file: BinaryIO, out: Path, container_format: str, fps: float) -> None:
        self._file = file
        self._out = out
        self._format = container_format
        self._fps = Fraction(fps).limit_denominator(1000)
        self._container: OutputContainer | None = None

    def add(self, source: Path, image: Pixels, findings: Sequence[Finding]) -> None:
        drawn = annotate(readable(image), findings, shape=_shape(image))
        if self._container is None:
            self._open(*drawn.size)
        size = (self._stream.width, self._stream.height)
        if any(side > most for side, most in zip(drawn.size, size, strict=True)):
            drawn = ImageOps.contain(drawn, size)
        framed = Image.new("RGB", size)
        framed.paste(drawn, ((size[0] - drawn.width) // 2, (size[1] - drawn.height) // 2))
        self._mux(av.VideoFrame.from_ndarray(np.asarray(framed), format="rgb24"))

    def close(self) -> None:
        """Finish the file.

        Raises:
            SourceError: there was no picture.
        """
        if self._container is None:
            raise _nothing_to_draw(self._out)
        self._mux(None)
        self._container.close()

    def _open(self, width: int, height: int) -> None:
        self._container = av.open(self._file, "w", format=self._format)
        self._stream = self._container.add_stream("libx264", rate=self._fps)
        # Players expect colours at half the resolution, so sides must be even.
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "20", "preset": "veryfast"}

    def _mux(self, frame: av.VideoFrame | None) -> None:
        assert self._container is not None  # opened with the first picture
        self._container.mux(self._stream.encode(frame))


def _nothing_to_draw(out: Path) -> SourceError:
    return SourceError(f"{out} is not written: there is no picture to draw")


def _shape(image: Pixels) -> tuple[int, int]:
    return (image.shape[0], image.shape[1])


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{number} {label}" for label, number in found.most_common()) or "nothing"
