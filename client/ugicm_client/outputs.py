"""Decide which input files there are, and where the output of each goes."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from ugicm_client.errors import OutputExists, SourceError
from ugicm_client.files import refuse_existing

__all__ = ["STANDARD_STREAM", "Job", "expand", "plan", "refuse_existing_outputs"]

STANDARD_STREAM = Path("-")
"""Stands for standard input among sources and for standard output among targets."""


@dataclass(frozen=True)
class Job:
    """One input and its outputs, one for each ending."""

    source: Path
    targets: tuple[Path, ...]


def expand(inputs: Sequence[Path], suffixes: Set[str]) -> list[Path]:
    """Return the inputs with each folder replaced by its files of these suffixes, by name.

    Raises:
        SourceError: a folder has no such file.
    """
    sources: list[Path] = []
    for path in inputs:
        if not path.is_dir() or path == STANDARD_STREAM:
            sources.append(path)
            continue
        found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in suffixes)
        if not found:
            raise SourceError(f"folder {path} has no files ending in {', '.join(sorted(suffixes))}")
        sources += found
    return sources


def plan(sources: Sequence[Path], output: str | None, endings: Sequence[str]) -> list[Job]:
    """Return where each source's outputs go.

    Without ``output``: beside the input, standard input to standard output. An ``output`` that is
    a folder, ends in ``/`` or takes several files is a folder, which is not made here.

    Args:
        output: a file, a folder or ``-``.
        endings: of the outputs' names, one for each output that every source has.

    Raises:
        ValueError: several outputs would go to one place.
    """
    single = len(sources) == 1 and len(endings) == 1
    if output == "-" or (output is None and STANDARD_STREAM in sources):
        if not single:
            raise ValueError("standard output takes one result; name a folder with -o")
        return [Job(sources[0], (STANDARD_STREAM,))]
    if output is not None and single and not output.endswith("/") and not Path(output).is_dir():
        jobs = [Job(sources[0], (Path(output),))]
    else:
        jobs = [
            Job(source, tuple(_target(source, output, ending) for ending in endings))
            for source in sources
        ]
    _refuse_collisions(jobs)
    return jobs


def refuse_existing_outputs(jobs: Sequence[Job]) -> None:
    """Raise, before any work is done, if an output exists.

    Raises:
        OutputExists: it names the first one, and how many more there are.
    """
    there = []
    for target in (target for job in jobs for target in job.targets if target != STANDARD_STREAM):
        try:
            refuse_existing(target)
        except OutputExists:
            there.append(target)
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        exist = "exist" if more else "exists"
        raise OutputExists(f"{there[0]}{more} {exist}; --force replaces them")


def _target(source: Path, output: str | None, ending: str) -> Path:
    stem = "stdin" if source == STANDARD_STREAM else source.stem
    return (source.parent if output is None else Path(output)) / f"{stem}{ending}"


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    source_of: dict[Path, Path] = {}
    inputs = {job.source.resolve(): job.source for job in jobs if job.source != STANDARD_STREAM}
    for job in jobs:
        for target in job.targets:
            place = target.resolve()
            if place in inputs:
                raise ValueError(f"{target} is an input; it would be overwritten")
            if place in source_of:
                raise ValueError(f"{source_of[place]} and {job.source} would both become {target}")
            source_of[place] = job.source
