"""Measures one codec on one picture in a process of its own and prints JSON; see __main__.py."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stopwatch import Stopwatch, measure

TRANSFORM, NETWORKS, CODER = "transform", "networks", "coder"

Picture = NDArray[np.uint8]
# Encodes a picture, and decodes what that returned; gives the number of bytes of it.
Subject = tuple[Callable[[Picture], Any], Callable[[Any], Picture], Callable[[Any], int]]


def main() -> None:
    """Measure ``SUBJECT MODEL STEP PICTURE REPEAT``."""
    subject, model, step, path, repeat = sys.argv[1:]
    picture = np.load(Path(path))
    stopwatch = Stopwatch()
    start = time.perf_counter()
    load = {"ugicm": _ugicm, "compressai": _compressai}[subject]
    encode, decode, size = load(model, int(step), stopwatch)
    loaded = time.perf_counter() - start
    encoding, coded = measure(lambda: encode(picture), stopwatch, int(repeat))
    decoding, decoded = measure(lambda: decode(coded), stopwatch, int(repeat))
    error = float(np.mean((decoded.astype(np.float64) - picture) ** 2))
    print(
        json.dumps(
            {
                "load": loaded,
                "encode": asdict(encoding),
                "decode": asdict(decoding),
                "bytes": size(coded),
                "psnr": 10 * np.log10(255**2 / error),
                "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            }
        )
    )


def _ugicm(model: str, step: int, stopwatch: Stopwatch) -> Subject:
    from ugicm_codec import Codec
    from ugicm_codec.entropy import rans
    from ugicm_codec.entropy.hyperprior import HyperpriorCoder
    from ugicm_codec.memory import keep_freed_memory
    from ugicm_codec.models.hyperprior import HyperpriorModel

    # As the services and the command do.
    keep_freed_memory()
    stopwatch.watch(HyperpriorModel, "analyse", TRANSFORM)
    stopwatch.watch(HyperpriorModel, "synthesise", TRANSFORM)
    stopwatch.watch(HyperpriorModel, "quantise", NETWORKS)
    stopwatch.watch(HyperpriorCoder, "_table_indexes", NETWORKS)
    stopwatch.watch(rans, "encode", CODER)
    stopwatch.watch(rans, "decode", CODER)
    codec = Codec.load(model)
    quality = round(100 * step / max(1, codec.model.quality_steps - 1))
    return lambda picture: codec.encode(picture, quality), codec.decode, len


def _compressai(model: str, step: int, stopwatch: Stopwatch) -> Subject:
    import torch

    from weights import compressai_model

    net = compressai_model(model, step)
    stopwatch.watch(net.g_a, "forward", TRANSFORM)
    stopwatch.watch(net.g_s, "forward", TRANSFORM)
    stopwatch.watch(net.h_a, "forward", NETWORKS)
    stopwatch.watch(net.h_s, "forward", NETWORKS)
    stopwatch.watch(net.gaussian_conditional, "build_indexes", NETWORKS)
    for entropy_model in (net.entropy_bottleneck, net.gaussian_conditional):
        stopwatch.watch(entropy_model, "compress", CODER)
        stopwatch.watch(entropy_model, "decompress", CODER)

    def encode(picture: Picture) -> tuple[Any, tuple[int, ...]]:
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255.0
        height, width = picture.shape[:2]
        padding = (0, -width % 64, 0, -height % 64)
        with torch.inference_mode():
            return net.compress(torch.nn.functional.pad(x, padding)), picture.shape

    def decode(coded: tuple[Any, tuple[int, ...]]) -> Picture:
        compressed, (height, width, _) = coded
        with torch.inference_mode():
            x_hat = net.decompress(**compressed)["x_hat"][0, :, :height, :width]
            grey = x_hat.mul(255.0).round_().to(torch.uint8)
        return np.ascontiguousarray(grey.permute(1, 2, 0).numpy())

    def size(coded: tuple[Any, tuple[int, ...]]) -> int:
        return sum(len(strings[0]) for strings in coded[0]["strings"])

    return encode, decode, size


if __name__ == "__main__":
    main()
