"""Read inputs and deliver outputs, either of which may be a standard stream."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ugicm_client.files import Existing, read_bounded, write_atomically
from ugicm_client.outputs import STANDARD_STREAM, Job

__all__ = [
    "check_standard_output",
    "deliver",
    "existing_of",
    "print_record",
    "read_source",
]


def read_source(path: Path) -> bytes:
    """Return a file's bytes, or those of standard input.

    Raises:
        OSError: it cannot be read.
    """
    return read_bounded(sys.stdin.buffer if path == STANDARD_STREAM else path)


def check_standard_output(jobs: Sequence[Job], *, as_json: bool) -> None:
    """Refuse to mix results with JSON or to fill a terminal with bytes.

    Raises:
        click.UsageError: one of them would happen.
    """
    if all(STANDARD_STREAM not in job.targets for job in jobs):
        return
    if as_json:
        raise click.UsageError("--json needs standard output for itself; name a file with -o")
    if sys.stdout.isatty():
        raise click.UsageError("standard output is a terminal; name a file with -o or use a pipe")


def existing_of(force: bool) -> Existing:
    """Return what ``--force`` means for existing files."""
    return Existing.REPLACE if force else Existing.REFUSE


def deliver(target: Path, data: bytes, existing: Existing) -> None:
    """Write one output; missing folders are made.

    Raises:
        OutputExists: the file exists and may not be replaced.
        OSError: it cannot be written.
    """
    if target == STANDARD_STREAM:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data, existing=existing)


def print_record(record: Mapping[str, Any]) -> None:
    """Print one line of JSON on standard output."""
    click.echo(json.dumps(record))
