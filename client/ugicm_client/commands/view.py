"""``ugicm view``: what the decoder has stored, as lists and as pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record
from ugicm_client.commands.view_files import ViewFiles, view_file_options
from ugicm_client.commands.work import working
from ugicm_client.errors import ClientError

if TYPE_CHECKING:
    from ugicm.v1.decoder_pb2 import Camera, StoredFrame
    from ugicm_client.operator import OperatorClient
    from ugicm_servicekit.access import Access

__all__ = ["view"]


@click.command(
    epilog="""\b
Examples:
  ugicm view                                          the cameras
  ugicm view door --newest 10                         a camera's frames
  ugicm view door --newest 1 -o now/ --view machine
  ugicm view door/1700000000000000/42 -o frame.png"""
)
@click.argument("targets", nargs=-1)
@click.option("-o", "--output", help="Save pictures: a file, a folder, or - for standard output.")
@click.option("--newest", type=click.IntRange(min=1), metavar="N", help="Only a camera's last N.")
@options.server_options("decoder")
@view_file_options
def view(
    targets: tuple[str, ...],
    output: str | None,
    newest: int | None,
    server: str,
    wait: float,
    access: Access,
    views: tuple[options.NamedView, ...],
    file_format: str,
    force: bool,
    as_json: bool,
) -> int:
    """List cameras and frames, or save frames as pictures (with -o).

    TARGETS are cameras, or frames as CAMERA/EPOCH/SEQUENCE. Without any, the cameras are listed.
    """
    if output is not None and not targets:
        raise click.UsageError("name a camera or a frame to save")

    import asyncio

    files = ViewFiles(output, views, file_format, force, as_json)
    return asyncio.run(_view(server, wait, access, targets, newest, files))


async def _view(
    server: str,
    wait: float,
    access: Access,
    targets: tuple[str, ...],
    newest: int | None,
    files: ViewFiles,
) -> int:
    from ugicm_client.operator import OperatorClient

    async with OperatorClient(server, access=access) as client:
        await client.until_serving(wait)
        if files.output is not None:
            return await _save(client, targets, newest, files)
        if targets:
            async for frame in _frames(client, targets, newest):
                _print_frame(frame, files.as_json)
        else:
            async for camera in client.cameras():
                _print_camera(camera, files.as_json)
    return 0


async def _save(
    client: OperatorClient, targets: tuple[str, ...], newest: int | None, files: ViewFiles
) -> int:
    from ugicm_servicekit.wire import key_from_wire

    keys = [key_from_wire(frame.key) async for frame in _frames(client, targets, newest)]
    if not keys:
        raise ClientError(f"no frames of {', '.join(targets)} are stored")
    # The names that the frames' streams would have as files, which name the pictures.
    jobs = files.plan([Path(f"{k.camera}-{k.epoch}-{k.sequence:06d}.ugi") for k in keys])
    with working("decoding", len(jobs)) as work:
        for key, job in zip(keys, jobs, strict=True):
            with work.item(str(key)):
                decoded = await client.decode(key, files.numbers)
                record = {"key": str(key), "model_sha256": decoded.start.model_sha256}
                files.write(job, decoded.images, record)
    return work.exit_code


async def _frames(
    client: OperatorClient, targets: tuple[str, ...], newest: int | None
) -> AsyncIterator[StoredFrame]:
    from ugicm_client.wire import parse_key

    for target in targets:
        if "/" in target:
            try:
                key = parse_key(target)
            except ValueError as error:
                raise click.UsageError(str(error)) from error
            yield await client.frame(key)
        else:
            async for frame in client.frames(target, newest=newest):
                yield frame


def _print_camera(camera: Camera, as_json: bool) -> None:
    if as_json:
        print_record(
            {
                "camera": camera.name,
                "num_frames": camera.num_frames,
                "num_bytes": camera.num_bytes,
                "oldest_time": camera.oldest_time.ToJsonString(),
                "newest_time": camera.newest_time.ToJsonString(),
            }
        )
    else:
        click.echo(
            f"{camera.name}: {camera.num_frames} frames, {camera.num_bytes} bytes, "
            f"newest {camera.newest_time.ToJsonString()}"
        )


def _print_frame(frame: StoredFrame, as_json: bool) -> None:
    from ugicm_servicekit.wire import key_from_wire

    key, info = key_from_wire(frame.key), frame.info
    if as_json:
        print_record(
            {
                "key": str(key),
                "capture_time": frame.capture_time.ToJsonString(),
                "height": info.height,
                "width": info.width,
                "num_bytes": info.num_bytes,
                "bits_per_pixel": info.bits_per_pixel,
                "latents_id": info.latents_id.hex(),
                "decodable": frame.decodable,
            }
        )
    else:
        undecodable = "" if frame.decodable else ", no model for it"
        click.echo(
            f"{key}: {frame.capture_time.ToJsonString()}, {info.width}x{info.height}, "
            f"{info.num_bytes} bytes, {info.bits_per_pixel:.3f} bits per pixel{undecodable}"
        )
