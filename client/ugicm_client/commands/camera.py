"""``ugicm camera``: a folder or a video file, sent to the encoder as a camera would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record
from ugicm_client.commands.work import working
from ugicm_client.errors import ServiceError, ServiceUnavailable

if TYPE_CHECKING:
    from ugicm.v1.encoder_pb2 import EncodeResponse
    from ugicm_client.camera_state import CameraState
    from ugicm_servicekit.access import Access
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
  ugicm camera photos/ --fps 1 --loop        until Ctrl-C
  ugicm camera photos/ --state door.json     only what was not sent before"""
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
@click.option(
    "--state",
    "state_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Remembers how far the camera has come; the next run with it goes on there.",
)
@options.json_option
def camera(
    source: Path,
    name: str,
    server: str,
    wait: float,
    access: Access,
    fps: float | None,
    quality: int | None,
    max_bytes: int | None,
    model: str,
    loop: bool,
    state_path: Path | None,
    as_json: bool,
) -> int:
    """Send a folder of pictures or a video to the encoder, frame by frame.

    A connection that is lost is made again, and frames that were not answered are sent again; the
    encoder knows those that it has. Each run is an epoch of its own, but with a state file it is
    the same one. Unreadable pictures of a folder are reported and passed over.
    """
    rate = options.rate_of(quality, max_bytes)

    import asyncio

    source.stat()  # an absent source is told before a server is looked for
    from ugicm_client.camera_state import CameraState

    with ExitStack() as opened:
        state = None
        if state_path is not None:
            # Another choice of frames is another source: its sequences mean other pictures.
            chosen = f"{source.resolve()} at {fps} fps" if fps else str(source.resolve())
            state = opened.enter_context(CameraState.open(state_path, camera=name, source=chosen))
        return asyncio.run(
            _send(source, name, server, wait, access, fps, rate, model, loop, state, as_json)
        )


async def _send(
    source: Path,
    name: str,
    server: str,
    wait: float,
    access: Access,
    fps: float | None,
    rate: options.Rate,
    model: str,
    loop: bool,
    state: CameraState | None,
    as_json: bool,
) -> int:
    from ugicm_client.camera import CameraClient
    from ugicm_client.pictures import Pixels
    from ugicm_client.retries import Retries
    from ugicm_client.sources import count_frames, paced, read_endlessly, read_source

    name_of: dict[int, str] = {}
    num_answered = num_bytes = num_pixels = 0
    first_sequence = state.progress.next_sequence if state else 0

    async def images() -> AsyncIterator[Pixels]:
        read = read_endlessly if loop else read_source
        after = state.progress.after if state else ""
        sequence = count(first_sequence)
        frames = read(source, fps=fps, after=after, on_bad_picture=work.fail)
        async for frame in paced(frames, fps=fps):
            name_of[next(sequence)] = frame.name
            yield frame.image

    def link_changed(trouble: ServiceError | None) -> None:
        if trouble is None:
            click.echo(f"ugicm: the encoder at {server} takes frames again", err=True)
        # Who is not there at the start may be a wrong address; --wait is for those that come.
        elif not num_answered and isinstance(trouble, ServiceUnavailable):
            raise trouble
        else:
            click.echo(f"ugicm: {trouble}; trying again", err=True)

    total = None if loop or fps or state else count_frames(source)
    with working("sending", total) as work:
        async with CameraClient(server, access=access) as client:
            await client.until_serving(wait)
            sent_frames = client.stream(
                images(),
                camera=name,
                epoch=state.progress.epoch if state else None,
                first_sequence=first_sequence,
                quality=rate.quality,
                max_bytes=rate.max_bytes,
                model=model,
                omit_stream=True,
                before_sending=state.sending if state else None,
                retries=Retries(changed=link_changed),
            )
            async with aclosing(sent_frames):
                async for sent in sent_frames:
                    num_answered += 1
                    frame_name = name_of.pop(sent.key.sequence)
                    if state:
                        await state.answered(sent.key.sequence, frame_name)
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

    # A duplicate is not coded again.
    info = answer.info if answer.HasField("info") else None
    return {
        "key": str(key),
        "name": name,
        "delivery": Delivery.Name(answer.delivery).removeprefix("DELIVERY_").lower(),
        "num_bytes": info and info.num_bytes,
        "bits_per_pixel": info and info.bits_per_pixel,
        "seconds": seconds,
    }
