"""Save views as picture files: what ``decode`` and ``view`` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import (
    check_standard_output,
    deliver,
    existing_of,
    print_record,
)
from ugicm_client.errors import UnwritablePicture
from ugicm_client.outputs import STANDARD_STREAM, Job, plan, refuse_existing_outputs

if TYPE_CHECKING:
    from ugicm_client.pictures import Pixels

__all__ = ["ViewFiles", "view_file_options"]

F = TypeVar("F", bound=Callable[..., Any])

_SUFFIX_OF_FORMAT = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


def view_file_options(command: F) -> F:
    """Add ``--view``, ``--format``, ``--force`` and ``--json``, the arguments of ``ViewFiles``."""
    for option in (
        options.json_option,
        options.force_option,
        click.option(
            "--format",
            "file_format",
            type=click.Choice(list(_SUFFIX_OF_FORMAT)),
            default="png",
            show_default=True,
            help="Of pictures whose output name does not say it.",
        ),
        options.views_option,
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class ViewFiles:
    """How the views of streams become files.

    Attributes:
        output: a file, a folder or ``-``; beside the source where ``None``.
        views: the views, which name the files where there is a choice.
        file_format: of files whose name does not say it.
        force: replaces files that exist.
        as_json: prints a record of every file.
    """

    output: str | None
    views: tuple[options.NamedView, ...]
    file_format: str
    force: bool
    as_json: bool

    @property
    def numbers(self) -> list[float]:
        """Return the views as the codec takes them."""
        return [view.number for view in self.views]

    def plan(self, sources: Sequence[Path]) -> list[Job]:
        """Return where each source's views go, all of them checked.

        Raises:
            click.UsageError: the names collide or ask for a format that is not written.
            OutputExists: a file is there, and ``force`` is not set.
        """
        suffix = _SUFFIX_OF_FORMAT[self.file_format]
        try:
            jobs = plan(sources, self.output, [f".{view.name}{suffix}" for view in self.views])
            for target in (target for job in jobs for target in job.targets):
                self._format_of(target)
        except (ValueError, UnwritablePicture) as error:
            raise click.UsageError(str(error)) from error
        check_standard_output(jobs, as_json=self.as_json)
        if not self.force:
            refuse_existing_outputs(jobs)
        return jobs

    def write(self, job: Job, images: Sequence[Pixels], record: Mapping[str, Any]) -> None:
        """Write one source's views, and print ``record`` with each if JSON is wanted.

        Raises:
            PictureError: a file format cannot hold the picture.
            OSError: a file cannot be written.
        """
        from ugicm_client.pictures import picture_bytes

        for image, view, target in zip(images, self.views, job.targets, strict=True):
            data = picture_bytes(image, self._format_of(target))
            deliver(target, data, existing_of(self.force))
            if self.as_json:
                height, width = image.shape[:2]
                file = {"output": str(target), "view": view.number}
                print_record({**record, **file, "height": height, "width": width})

    def _format_of(self, target: Path) -> str:
        from ugicm_client.pictures import format_of

        return self.file_format if target == STANDARD_STREAM else format_of(target)
