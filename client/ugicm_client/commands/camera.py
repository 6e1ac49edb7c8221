"""``ugicm camera``: what a camera, a folder or a video file shows, sent to the encoder."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ugicm_client.commands import options
from ugicm_client.commands.standard_streams import print_record
from ugicm_client.commands.taking import Taking
from ugicm_client.commands.work import say, working
from ugicm_client.errors import ServiceError, ServiceUnavailable

if TYPE_CHECKING:
    from ugicm.v1.encoder_pb2 import EncodeResponse
    from ugicm_client.camera_state import CameraState
    from ugicm_client.live_address import LiveAddress
    from ugicm_client.motion import MotionGate
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
  ugicm camera photos/ --state door.json     only what was not sent before
  ugicm camera webcam:0 --fps 2 --motion 0.002
  ugicm camera rtsp://admin@192.0.2.7/stream1 --password-file door.password"""
)
@click.argument("source")
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
    help="Frames a second, at most; a video gives frames at this rate of its own time. "
    "Otherwise every frame, as fast as the encoder takes them.",
)
@click.option(
    "--motion",
    type=click.FloatRange(min=0, max=1, min_open=True),
    metavar="SHARE",
    help="Send only what moves: a picture of which this share differs from the last one sent. "
    "0.002 sees a person far away.",
)
@click.option(
    "--key-every",
    "key_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="With --motion: the longest time without a picture.",
)
@click.option("--frames", "most", type=click.IntRange(min=1), metavar="N", help="End after N.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Holds the password of a camera's address; or UGICM_CAMERA_PASSWORD does.",
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
    source: str,
    name: str,
    server: str,
    wait: float,
    access: Access,
    fps: float | None,
    motion: float | None,
    key_seconds: float,
    most: int | None,
    password_file: Path | None,
    quality: int | None,
    max_bytes: int | None,
    model: str,
    loop: bool,
    state_path: Path | None,
    as_json: bool,
) -> int:
    """Send what a camera shows to the encoder, frame by frame.

    SOURCE is a folder of pictures, a video file, webcam:NUMBER, or a camera's address (rtsp, rtsps,
    http, https). Every frame of a file is sent. Of a live camera it is the newest one whenever the
    encoder is ready; a camera that is lost is connected to again, until Ctrl-C.

    A connection to the encoder that is lost is made again, and frames that were not answered are
    sent again; the encoder knows those that it has. Each run is an epoch of its own, but with a
    state file it is the same one. Unreadable pictures of a folder are reported and passed over.
    """
    rate = options.rate_of(quality, max_bytes)

    import asyncio

    from ugicm_client.camera_state import CameraState, Rereading
    from ugicm_client.live_address import parse_source, read_password
    from ugicm_client.motion import MotionGate

    place = parse_source(
        source, lambda: read_password(password_file, os.environ.get("UGICM_CAMERA_PASSWORD"))
    )
    if isinstance(place, Path):
        place.stat()  # an absent source is told before a server is looked for
        if password_file is not None:
            raise click.UsageError("--password-file is for a camera's address")
    elif loop:
        raise click.UsageError("--loop is for folders and videos: a camera has no end")
    gate = None if motion is None else MotionGate(share=motion, key_seconds=key_seconds)
    with ExitStack() as opened:
        state = None
        if state_path is not None:
            is_file = isinstance(place, Path)
            state = opened.enter_context(
                CameraState.open(
                    state_path,
                    camera=name,
                    source=_chosen(place, fps, gate),
                    rereading=Rereading.POSSIBLE if is_file else Rereading.IMPOSSIBLE,
                )
            )
        taking = Taking(place, fps, gate, most, loop, state.progress.after if state else "")
        return asyncio.run(_send(taking, name, server, wait, access, rate, model, state, as_json))


def _chosen(place: Path | LiveAddress, fps: float | None, gate: MotionGate | None) -> str:
    """Return what a source's frames are: chosen otherwise, their sequences mean other pictures."""
    words = [str(place.resolve() if isinstance(place, Path) else place)]
    words += [f"at {fps} fps"] if fps else []
    words += [str(gate)] if gate else []
    return " ".join(words)


async def _send(
    taking: Taking,
    name: str,
    server: str,
    wait: float,
    access: Access,
    rate: options.Rate,
    model: str,
    state: CameraState | None,
    as_json: bool,
) -> int:
    import asyncio

    from ugicm_client.camera import CameraClient
    from ugicm_client.pictures import Pixels
    from ugicm_client.retries import Retries

    name_of: dict[int, str] = {}
    num_answered = num_bytes = num_pixels = 0
    first_sequence = state.progress.next_sequence if state else 0

    async def images() -> AsyncIterator[Pixels]:
        sequence = count(first_sequence)
        async with aclosing(taking.frames(work)) as frames:
            async for frame in frames:
                name_of[next(sequence)] = frame.name
                yield frame.image

    def link_changed(trouble: ServiceError | None) -> None:
        if trouble is None:
            say(f"the encoder at {server} takes frames again")
        # Who is not there at the start may be a wrong address; --wait is for those that come.
        elif not num_answered and isinstance(trouble, ServiceUnavailable):
            raise trouble
        else:
            say(f"{trouble}; trying again")

    def summarise() -> None:
        skipped = str(taking.skipped)
        click.echo(
            f"{num_answered} frames sent as camera {name}, {work.num_failed} failed: "
            f"{num_bytes} bytes, {8 * num_bytes / max(num_pixels, 1):.3f} bits per pixel"
            + (f"; not sent: {skipped}" if skipped else ""),
            err=as_json,
        )

    with working("sending", None if state else taking.count()) as work:
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
                most_unanswered=taking.most_unanswered,
            )
            try:
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
                                record = _record(frame_name, sent.key, sent.outcome, sent.seconds)
                                print_record(record)
            except asyncio.CancelledError:
                # The only end of a live camera; a file's is another one.
                if taking.is_live:
                    summarise()
                raise
    if not as_json or str(taking.skipped):
        summarise()
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
