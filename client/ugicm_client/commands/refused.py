"""``ugicm refused``: the frames of a spool that its decoder refused for good."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record
from ugicm_client.commands.work import working
from ugicm_client.errors import ClientError

if TYPE_CHECKING:
    from ugicm_servicekit.access import Access
    from ugicm_servicekit.refused_frames import RefusedFrame, RefusedFrames
    from ugicm_servicekit.wire import FrameKey

__all__ = ["refused"]

_spool_argument = click.argument(
    "spool", type=click.Path(path_type=Path, exists=True, file_okay=False)
)
_keys_argument = click.argument("keys", nargs=-1, metavar="[CAMERA/EPOCH/SEQUENCE]...")


@click.group()
def refused() -> None:
    """Look after frames that a decoder refused for good, and their encoder kept."""


@refused.command(
    "list",
    epilog="""\b
Examples:
  ugicm refused list /var/lib/ugicm/spool
  ugicm refused list /var/lib/ugicm/spool --json | jq -r 'select(.status == "DATA_LOSS").key'""",
)
@_spool_argument
@options.json_option
def list_refused(spool: Path, as_json: bool) -> int:
    """Print what lies in SPOOL, the folder of an encoder's spool, and why."""
    for frame in _folder(spool).list():
        if as_json:
            print_record(
                {
                    "key": str(frame.key),
                    "capture_time": frame.capture_time and frame.capture_time.ToJsonString(),
                    "num_bytes": frame.num_bytes,
                    "status": frame.status,
                    "message": frame.message,
                }
            )
        else:
            why = ": ".join(filter(None, (frame.status, frame.message)))
            click.echo(f"{frame.key}: {frame.num_bytes} bytes, {why}")
    return 0


@refused.command(
    epilog="""\b
Examples:
  ugicm refused send /var/lib/ugicm/spool --token-file encoder.token
  ugicm refused send /var/lib/ugicm/spool gate/1700000000000000/42"""
)
@_spool_argument
@_keys_argument
@options.server_options("decoder")
@options.json_option
def send(
    spool: Path, keys: tuple[str, ...], server: str, wait: float, access: Access, as_json: bool
) -> int:
    """Send frames of SPOOL to the decoder again: those named, or all.

    What is stored, or was before, is removed from the spool; the rest stays. They are stored behind
    what came meanwhile. The encoder may run on. Exit code 1: some were refused again.
    """
    import asyncio

    return asyncio.run(_send(_folder(spool), keys, server, wait, access, as_json))


async def _send(
    folder: RefusedFrames,
    keys: tuple[str, ...],
    server: str,
    wait: float,
    access: Access,
    as_json: bool,
) -> int:
    from ugicm_client.ingest import IngestClient

    chosen = _chosen(folder.list(), [_key(text) for text in keys])
    async with IngestClient(server, access=access) as client:
        await client.until_serving(wait)
        with working("sending", len(chosen)) as work:
            for frame in chosen:
                with work.item(str(frame.key)):
                    if frame.capture_time is None:
                        raise ClientError(frame.message)
                    result = await client.ingest(folder.read(frame))
                    folder.remove(frame)
                    if as_json:
                        print_record({"key": str(frame.key), "result": result})
                    else:
                        click.echo(f"{frame.key}: {result}")
    return work.exit_code


def _folder(spool: Path) -> RefusedFrames:
    from ugicm_servicekit.refused_frames import FOLDER, RefusedFrames

    return RefusedFrames(spool / FOLDER)


def _key(text: str) -> FrameKey:
    from ugicm_client.wire import parse_key

    try:
        return parse_key(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _chosen(frames: list[RefusedFrame], keys: list[FrameKey]) -> list[RefusedFrame]:
    of_key = {frame.key: frame for frame in frames}
    if missing := [str(key) for key in keys if key not in of_key]:
        raise ClientError(f"no refused frame {', '.join(missing)} lies there")
    return [of_key[key] for key in dict.fromkeys(keys)] or frames
