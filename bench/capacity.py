"""Measures what one core or one GPU carries, for deploy/capacity.py to plan with.

Usage: python bench/capacity.py [--device cuda] [--out docs/results/capacity.json]

Times are of the processor on one thread, so other programs on the machine change them little; on a
GPU, and for storing, they are of the wall's clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_client.demo.photos import bundled_photos
from ugicm_client.demo.processes import started
from ugicm_client.pictures import read_picture
from ugicm_codec import Codec
from ugicm_codec.memory import keep_freed_memory
from ugicm_servicekit.channel import open_channel

_QUALITIES = (25, 50, 75)
_SIZES = {"768x512": (512, 768), "1280x720": (720, 1280), "1920x1080": (1080, 1920)}
# Of one camera, stored one after the other as fast as they are taken.
_NUM_STORED = 500


def main() -> None:
    """Measure, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="as PyTorch names it (cpu)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each call (5)")
    parser.add_argument("--out", type=Path, help="file to write; none: standard output")
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    codec = Codec.load(device=options.device)
    on_gpu = options.device != "cpu"
    clock = time.perf_counter if on_gpu else time.process_time
    photos = [read_picture(path) for path in bundled_photos()]
    measured = {
        "device": torch.cuda.get_device_name(options.device) if on_gpu else _processor(),
        "load": round(os.getloadavg()[0], 1),
        "model": codec.model.sha256,
        "sizes": {
            name: _size(codec, [_fitted(photo, shape) for photo in photos], options.repeat, clock)
            for name, shape in _SIZES.items()
        },
        "stored_frames_per_second": round(asyncio.run(_storing())),
    }
    text = json.dumps(measured, indent=2) + "\n"
    if options.out is None:
        print(text, end="")
    else:
        options.out.write_text(text, encoding="utf-8")


def _size(
    codec: Codec, pictures: list[np.ndarray], repeat: int, clock: Callable[[], float]
) -> dict[str, Any]:
    streams = {q: [codec.encode(picture, q) for picture in pictures] for q in _QUALITIES}
    middle = streams[_QUALITIES[1]][0]
    picture = pictures[0]
    return {
        "stream_bytes": {
            str(q): round(statistics.mean(map(len, coded))) for q, coded in streams.items()
        },
        "encode_seconds": _seconds(lambda: codec.encode(picture), repeat, clock),
        "decode_seconds": _seconds(lambda: codec.decode(middle, "machine"), repeat, clock),
    }


def _seconds(call: Callable[[], object], repeat: int, clock: Callable[[], float]) -> float:
    call()
    seconds = []
    for _ in range(repeat):
        began = clock()
        call()
        seconds.append(clock() - began)
    return round(statistics.median(seconds), 4)


async def _storing() -> float:
    """Return how many frames of one camera a decoder's process stores durably a second."""
    photo = read_picture(bundled_photos()[0])
    stream = Codec.load().encode(_fitted(photo, _SIZES["1280x720"]))
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--store", f"{folder}/frames.sqlite"]
        async with started("decoder", flags, log=Path(folder) / "decoder.log") as decoder:
            await decoder.until_serving()
            async with open_channel(decoder.address) as channel:
                began = time.perf_counter()
                call = DecoderServiceStub(channel).Ingest(_frames(stream))
                async for answer in call:
                    assert answer.WhichOneof("outcome") == "result"
                return _NUM_STORED / (time.perf_counter() - began)


async def _frames(stream: bytes) -> AsyncIterator[decoder_pb2.IngestRequest]:
    for sequence in range(_NUM_STORED):
        key = types_pb2.FrameKey(camera="capacity", epoch=1, sequence=sequence)
        frame = types_pb2.Frame(key=key, stream=stream)
        frame.capture_time.GetCurrentTime()
        yield decoder_pb2.IngestRequest(frame=frame)


def _fitted(photo: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a photo of that height and width, its middle where the sides differ."""
    height, width = shape
    scale = max(height / photo.shape[0], width / photo.shape[1])
    size = (max(width, round(photo.shape[1] * scale)), max(height, round(photo.shape[0] * scale)))
    resized = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))
    top, left = (resized.shape[0] - height) // 2, (resized.shape[1] - width) // 2
    return np.ascontiguousarray(resized[top : top + height, left : left + width])


def _processor() -> str:
    """Return the processor's name, where the system tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if platform.system() == "Linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"one core, {names[0] if names else platform.processor()}"


if __name__ == "__main__":
    main()
