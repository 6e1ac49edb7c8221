"""Computes what so many cameras need: bytes, frames, replicas, from what one core or GPU carries.

Usage: python deploy/capacity.py --size 1280x720 --quality 50 --fps 1
       python deploy/capacity.py --update docs/scaling.md
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "docs" / "results" / "capacity.json"

_DAY = 86_400
_BEGIN, _END = "<!-- deploy/capacity.py begins -->", "<!-- deploy/capacity.py ends -->"
_FLEETS = ((10, 1), (100, 1), (100, 10), (1000, 1), (1000, 100), (10_000, 10), (10_000, 1000))
_RATES = (1.0, 5.0, 25.0)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What cameras send and readers ask.

    Attributes:
        size: of the pictures, as it was measured.
        quality: as it was measured.
        fps: frames a second of each camera.
        read: how many views are decoded of each frame; 1: analytics watches all of them.
        retention_days: how long frames are kept.
        replica_cores: of each encoder and decoder.
        use: the share of a core or store that is planned with: the rest is for peaks, retention,
            and the load of a replica that is away.
    """

    size: str = "1280x720"
    quality: int = 50
    fps: float = 1.0
    read: float = 1.0
    retention_days: float = 7.0
    replica_cores: int = 4
    use: float = 0.6


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a fleet needs.

    Attributes:
        frames: a second, of all cameras.
        site_megabits: a second, from each site.
        megabits: a second, of all sites.
        stored_bytes: for the whole retention.
        site_encoders: replicas at each site.
        decoders: replicas in all.
        stores: embedded frame stores, by how many frames one takes a second.
    """

    frames: float
    site_megabits: float
    megabits: float
    stored_bytes: float
    site_encoders: int
    decoders: int
    stores: int


def need(cameras: int, sites: int, workload: Workload, measured: Mapping[str, Any]) -> Need:
    """Return what cameras, spread evenly over sites, need.

    Raises:
        SystemExit: the size or the quality was not measured.
    """
    size = _chosen("size", workload.size, measured["sizes"])
    frame_bytes = _chosen("quality", str(workload.quality), size["stream_bytes"])
    frames = cameras * workload.fps
    site_frames = math.ceil(cameras / sites) * workload.fps
    replica = workload.replica_cores * workload.use
    return Need(
        frames=frames,
        site_megabits=site_frames * frame_bytes * 8 / 1e6,
        megabits=frames * frame_bytes * 8 / 1e6,
        stored_bytes=frames * frame_bytes * _DAY * workload.retention_days,
        site_encoders=math.ceil(site_frames * size["encode_seconds"] / replica),
        decoders=math.ceil(frames * workload.read * size["decode_seconds"] / replica),
        stores=math.ceil(frames / (measured["stored_frames_per_second"] * workload.use)),
    )


def report(workload: Workload, measured: Mapping[str, Any]) -> str:
    """Return the tables, in Markdown."""
    fleets = (
        f"Fleets of {workload.size} at quality {workload.quality} and {workload.fps:g} frames a "
        f"second, {workload.read:g} views decoded of each frame, {workload.retention_days:g} days "
        f"kept; replicas of {workload.replica_cores} cores, used to {workload.use:.0%}:"
    )
    paragraphs = [
        f"What {measured['device']}, carries, and the bytes of a stream by quality:",
        _table(_carried(measured)),
        f"One decoder stores {measured['stored_frames_per_second']} frames a second durably.",
        f"Storage for a camera and day, {workload.size}, in GB:",
        _table(_daily(workload, measured)),
        fleets,
        _table(_fleets(workload, measured)),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _carried(measured: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    qualities = list(next(iter(measured["sizes"].values()))["stream_bytes"])
    yield ("picture", "encodes a second", "views a second", *(f"bytes at {q}" for q in qualities))
    for name, size in measured["sizes"].items():
        rates = (f"{1 / size[key]:.1f}" for key in ("encode_seconds", "decode_seconds"))
        yield (name, *rates, *(f"{size['stream_bytes'][q]:,}" for q in qualities))


def _daily(workload: Workload, measured: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    coded = _chosen("size", workload.size, measured["sizes"])["stream_bytes"]
    yield ("frames a second", *(f"quality {q}" for q in coded))
    for fps in _RATES:
        yield (f"{fps:g}", *(f"{fps * _DAY * size / 1e9:.1f}" for size in coded.values()))


def _fleets(workload: Workload, measured: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    yield (
        *("cameras", "sites", "frames/s", "Mbit/s a site", "Mbit/s in all", "TB kept"),
        *("encoders a site", "decoders", "embedded stores"),
    )
    for cameras, sites in _FLEETS:
        one = need(cameras, sites, workload, measured)
        yield (
            *(f"{cameras:,}", f"{sites:,}", f"{one.frames:,.0f}", f"{one.site_megabits:,.1f}"),
            *(f"{one.megabits:,.1f}", f"{one.stored_bytes / 1e12:,.1f}", one.site_encoders),
            *(f"{one.decoders:,}", one.stores),
        )


def _table(rows: Iterator[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    lines.insert(1, "|" + " ---: |" * lines[0].count(" | ") + " ---: |")
    return "\n".join(lines)


def _chosen(what: str, name: str, measured: Mapping[str, Any]) -> Any:
    if name not in measured:
        raise SystemExit(f"{what} {name} was not measured; there are {', '.join(measured)}")
    return measured[name]


def updated(text: str, tables: str) -> str:
    """Return a document with other tables between its marks.

    Raises:
        SystemExit: it has no marks.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise SystemExit(f"the document needs the lines {_BEGIN} and {_END}")
    return f"{before}{begin}\n\n{tables}\n{end}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, or put them into a document."""
    default = Workload()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measured", type=Path, default=MEASURED, help="by bench/capacity.py")
    parser.add_argument("--size", default=default.size, help=f"of pictures ({default.size})")
    parser.add_argument("--quality", type=int, default=default.quality, help="(50)")
    parser.add_argument("--fps", type=_positive, default=default.fps, help="of each camera (1)")
    parser.add_argument("--read", type=_positive, default=default.read, help="views a frame (1)")
    parser.add_argument(
        "--retention-days", type=_positive, default=default.retention_days, help="(7)"
    )
    parser.add_argument(
        "--replica-cores", type=int, default=default.replica_cores, help="of a replica; GPUs: 1 (4)"
    )
    parser.add_argument("--update", type=Path, help="document to put the tables into")
    options = vars(parser.parse_args(arguments))
    try:
        measured = json.loads(options.pop("measured").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"cannot use what was measured: {error}")
    document = options.pop("update")
    tables = report(Workload(**options), measured)
    if document is None:
        sys.stdout.write(tables)
    else:
        document.write_text(updated(document.read_text(encoding="utf-8"), tables), encoding="utf-8")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


if __name__ == "__main__":
    main()
