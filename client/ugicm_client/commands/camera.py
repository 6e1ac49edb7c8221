"""``ugicm camera``: a folder or a video file, sent to the encoder as a camera would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record
from ugicm_client.commands.work import working
from ugicm_client.errors import ServiceError

if TYPE_CHECKING:
    from ugicm.v1.encoder_pb2 import EncodeResponse
    from ugicm_servicekit.wire import FrameKey

__all__ = ["camera"]


def _camera_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    from ugicm_servicekit.errors import BadRequest
    from ugicm_servicekit.wire import check_camera

    try:
        check_camera(value)
    except BadRequest as error:
        raise click.BadParameter(str(error)) from error
    return value


@click.command(
    epilog="""\b
Examples:
  ugicm camera photos/ --camera door
  ugicm camera street.mp4 --camera street --fps 5 --max-bytes 20000
  ugicm camera photos/ --fps 1 --loop        until Ctrl-C"""
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--camera",
    "name",
    default="camera",
    show_default=True,
    metavar="ID",
    callback=_camera_name,
    help="The camera's name in frame keys.",
)
@options.server_options("encoder")
@click.option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True),
    help="Frames a second; a video gives frames at this rate of its own time. "
    "Otherwise every frame, as fast as the encoder takes them.",
)
@options.rate_options
@click.option("--model", default="", help="One of the encoder's models; its default if not given.")
@click.option("--loop", is_flag=True, help="Begin again at the end, until interrupted.")
@options.json_option
def camera(
    source: Path,
    name: str,
    server: str,
    wait: float,
    fps: float | None,
    quality: int | None,
    max_bytes: int | None,
    model: str,
    loop: bool,
    as_json: bool,
) -> int:
    """Send a folder of pictures or a video to the encoder, frame by frame.

    Each run is an epoch of its own. Unreadable pictures of a folder are reported and passed over.
    """
    rate = options.rate_of(quality, max_bytes)

    import asyncio

    source.stat()  # an absent source is told before a server is looked for
    return asyncio.run(_send(source, name, server, wait, fps, rate, model, loop, as_json))


async def _send(
    source: Path,
    name: str,
    server: str,
    wait: float,
    fps: float | None,
    rate: options.Rate,
    model: str,
    loop: bool,
    as_json: bool,
) -> int:
    from ugicm_client.camera import CameraClient
    from ugicm_client.pictures import Pixels
    from ugicm_client.sources import count_frames, paced, read_endlessly, read_source

    name_of: dict[int, str] = {}
    num_answered = num_bytes = num_pixels = 0

    async def images() -> AsyncIterator[Pixels]:
        read = read_endlessly if loop else read_source
        sequence = count()
        async for frame in paced(read(source, fps=fps, on_bad_picture=work.fail), fps=fps):
            name_of[next(sequence)] = frame.name
            yield frame.image

    total = None if loop or fps else count_frames(source)
    with working("sending", total) as work:
        async with CameraClient(server) as client:
            await client.until_serving(wait)
            sent_frames = client.stream(
                images(),
                camera=name,
                quality=rate.quality,
                max_bytes=rate.max_bytes,
                model=model,
                omit_stream=True,
            )
            async with aclosing(sent_frames):
                async for sent in sent_frames:
                    num_answered += 1
                    frame_name = name_of.pop(sent.key.sequence)
                    with work.item(frame_name):
                        if isinstance(sent.outcome, ServiceError):
                            raise sent.outcome
                        info = sent.outcome.info
                        num_bytes += info.num_bytes
                        num_pixels += info.height * info.width
                        if as_json:
                            print_record(_record(frame_name, sent.key, sent.outcome, sent.seconds))
    if not as_json:
        click.echo(
            f"{num_answered} frames sent as camera {name}, {work.num_failed} failed: "
            f"{num_bytes} bytes, {8 * num_bytes / max(num_pixels, 1):.3f} bits per pixel"
        )
    return work.exit_code


def _record(name: str, key: FrameKey, answer: EncodeResponse, seconds: float) -> dict[str, Any]:
    from ugicm.v1.encoder_pb2 import Delivery

    return {
        "key": str(key),
        "name": name,
        "delivery": Delivery.Name(answer.delivery).removeprefix("DELIVERY_").lower(),
        "num_bytes": answer.info.num_bytes,
        "bits_per_pixel": answer.info.bits_per_pixel,
        "seconds": seconds,
    }
