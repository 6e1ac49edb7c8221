"""Go through many inputs: progress, and one bad input that does not stop the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from ugicm_client.errors import ClientError
from ugicm_codec.errors import CodecError
from ugicm_servicekit.redaction import redact

__all__ = ["Work", "complain", "say", "working"]


def complain(error: BaseException, *, about: str = "") -> None:
    """Print an error as one line on standard error, with what it is about in front.

    Secrets are struck out: a camera's address may hold its password.
    """
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    else:
        message = f"{about}: {error}" if about else str(error)
    say(message)


def say(message: str) -> None:
    """Print one line on standard error, with secrets struck out."""
    click.echo(redact(f"ugicm: {' '.join(message.split())}"), err=True)


class Work:
    """Items to go through, and how many of them failed.

    Args:
        advance: shows that one more item is done.
    """

    def __init__(self, advance: Callable[[], None]) -> None:
        self.advance = advance
        self.num_failed = 0

    @property
    def exit_code(self) -> int:
        """Return 0 if nothing failed, else 1."""
        return 1 if self.num_failed else 0

    def fail(self, error: BaseException, *, about: str = "") -> None:
        """Report and count a failure."""
        self.num_failed += 1
        complain(error, about=about)

    @contextmanager
    def item(self, name: str) -> Iterator[None]:
        """Do one item in this context; its error is reported under ``name`` and goes no further."""
        try:
            yield
        except BrokenPipeError:
            raise
        except (CodecError, ClientError, OSError) as error:
            self.fail(error, about=name)
        self.advance()


@contextmanager
def working(what: str, total: int | None) -> Iterator[Work]:
    """Show a progress bar on standard error if that is a terminal and there are several items."""
    if total == 1 or not sys.stderr.isatty():
        yield Work(lambda: None)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield Work(lambda: bar.advance(task))
