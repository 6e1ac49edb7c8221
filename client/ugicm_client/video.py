"""Open video with PyAV, and turn its frames into pixels: for files and for live cameras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import av
import numpy as np
from av.container import InputContainer

from ugicm_client.errors import PictureTooLarge, SourceError
from ugicm_client.pictures import Pixels
from ugicm_codec.limits import Limits

__all__ = ["decoded_frames", "opened_video", "upright_pixels"]


@contextmanager
def opened_video(
    url: str,
    name: str,
    *,
    container_format: str | None = None,
    options: Mapping[str, str] | None = None,
    silence_seconds: float | None = None,
    trouble: str = "is not a video that can be read",
) -> Iterator[InputContainer]:
    """Open ``url`` in this context; what PyAV raises in it becomes a ``SourceError``.

    Args:
        url: what FFmpeg opens; never in a message, as it may hold a password.
        name: what messages call it.
        container_format: where the bytes do not tell it.
        options: of FFmpeg's protocols and demuxers.
        silence_seconds: how long to wait for an answer or the next packet; for ever where None.
        trouble: says of ``name`` that it could not be opened.

    Raises:
        SourceError: there is no video, none that can be decoded, or it stops being readable.
    """
    try:
        with av.open(
            url, format=container_format, options=dict(options or {}), timeout=silence_seconds
        ) as container:
            trouble = "gives no more video"
            if not container.streams.video:
                raise SourceError(f"{name} has no video")
            yield container
    except av.ExitError as error:
        raise SourceError(f"{name} gave nothing for {silence_seconds:g} s") from error
    except av.FFmpegError as error:
        raise SourceError(f"{name} {trouble}: {error.strerror}") from error


def decoded_frames(container: InputContainer, name: str, limits: Limits) -> Iterator[av.VideoFrame]:
    """Yield the frames of a container's first video, each of its own size.

    Raises:
        SourceError: FFmpeg as built here has no decoder for it.
        PictureTooLarge: a frame has more pixels than the limits allow.
    """
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise SourceError(f"{name}: there is no decoder for its video")
    _check_size(stream.codec_context.width, stream.codec_context.height, name, limits)
    for frame in container.decode(stream):
        _check_size(frame.width, frame.height, name, limits)
        yield frame


def upright_pixels(frame: av.VideoFrame) -> Pixels:
    """Return a frame as ``(H, W, 3)`` RGB, turned as its container says."""
    image = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
    return np.ascontiguousarray(image)


def _check_size(width: int, height: int, name: str, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise PictureTooLarge(f"{name}: at most {limits.max_pixels} pixels, got {width}x{height}")
