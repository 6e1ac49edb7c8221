"""Times decoding with MLIC++ beside a plain formulation of it, same weights and threads.

Usage: python bench/mlicpp.py [--sizes small|published] [--threads N] [--repeat N]
       python bench/mlicpp.py --device cuda

The plain formulation (mlicpp_plain.py) computes on floats, on whole grids under masks, and hands
the coder lists of symbols; ours computes the entropy model exactly, on the half grids that are
needed, and the synthesis in the device's best precision. Weights are random: pictures are noise,
times are not. On a GPU only ours is timed, for two sizes, one and eight pictures at a time.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mlicpp_plain import PlainMlicpp
from stopwatch import Stopwatch, measure
from ugicm_codec import Codec
from ugicm_codec.entropy.rans import SectionReader
from ugicm_codec.memory import keep_freed_memory
from ugicm_codec.models.hyperprior import HyperpriorModel
from ugicm_codec.models.mlicpp.config import MlicppConfig
from ugicm_training.export import export_model
from ugicm_training.mlicpp import TrainableMlicpp

SIZES = {"small": MlicppConfig.small, "published": MlicppConfig.revised}
PICTURE = (512, 768)
GPU_PICTURES = {"768x512": (512, 768), "1920x1080": (1080, 1920)}
GPU_BATCHES = (1, 8)


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", choices=SIZES, default="published")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # For both sides: neither is to wait for pages.
    keep_freed_memory()
    console = Console()
    model = seeded_model(SIZES[options.sizes]())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(export_model(model, calibration=None, quality_steps=1, training={}))
        codec = Codec.load(str(path), device=options.device)
    if options.device == "cpu":
        compare(console, model, codec, options.repeat)
    else:
        time_on_gpu(console, codec, options.repeat)


@torch.no_grad()
def seeded_model(config: MlicppConfig) -> TrainableMlicpp:
    """Return random weights that make latents of some units and tables of some bits."""
    torch.manual_seed(0)
    model = TrainableMlicpp(config, knots=2, lambdas=(0.01, 0.01)).eval()
    pictures = torch.rand(1, 3, 128, 128)
    model.g_a[-1].weight *= 2.0 / model.g_a(pictures).std()
    model.h_a[-1].weight *= 2.0 / model.h_a(model.g_a(pictures)).std()
    for context in model.context.slices:
        for parameters in (context.anchor_parameters, context.nonanchor_parameters):
            parameters[-1].bias[: config.slice_channels] += 1.5
    return model


def compare(console: Console, model: TrainableMlicpp, codec: Codec, repeat: int) -> None:
    """Decode one picture both ways, and say where the time goes."""
    picture = np.random.default_rng(0).integers(0, 256, (*PICTURE, 3), np.uint8)
    stream = codec.encode(picture)
    ours_watch = Stopwatch()
    ours_watch.watch(SectionReader, "read", "coder")
    ours_watch.watch(HyperpriorModel, "synthesise", "synthesis")
    ours, _ = measure(lambda: codec.decode(stream), ours_watch, repeat)
    plain = PlainMlicpp(model)
    with torch.inference_mode():
        y = torch.from_numpy(codec.analyse(picture).y.numpy())[None]
        z_hat = model.h_a(y).round()
    section = plain.encode(y, z_hat)
    view = torch.zeros(1)
    plain_watch = Stopwatch()
    plain_watch.watch(plain, "synthesise", "synthesis")
    theirs, _ = measure(
        lambda: plain.synthesise(plain.decode_latents(section, z_hat), view), plain_watch, repeat
    )
    table = Table("seconds", "plain", "ours", "plain / ours")
    rows = {
        "decode": (theirs.steady, ours.steady),
        "synthesis": (theirs.parts["synthesis"], ours.parts["synthesis"]),
        "entropy model and coder": (
            theirs.steady - theirs.parts["synthesis"],
            ours.steady - ours.parts["synthesis"],
        ),
    }
    for name, (slow, fast) in rows.items():
        table.add_row(name, f"{slow:.3f}", f"{fast:.3f}", f"{slow / fast:.2f}")
    table.add_row("of it the coder", "", f"{ours.parts['coder']:.3f}", "")
    console.print(
        f"{PICTURE[1]}x{PICTURE[0]}, {torch.get_num_threads()} threads, median of {repeat}"
    )
    console.print(f"transforms: float32 and {codec.precision}; entropy model: floats and integers")
    console.print(table)


def time_on_gpu(console: Console, codec: Codec, repeat: int) -> None:
    """Decode pictures of two sizes, alone and eight at a time."""
    table = Table("picture", "batch", "latents, ms each", "views, ms each")
    for name, size in GPU_PICTURES.items():
        picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        stream = codec.encode(picture)
        for batch in GPU_BATCHES:
            streams = [stream] * batch
            latents = codec.decode_latents_batch(streams)
            seconds = [
                _median(call, repeat) / batch
                for call in (
                    functools.partial(codec.decode_latents_batch, streams),
                    functools.partial(codec.synthesise, latents, [0.0] * batch),
                )
            ]
            table.add_row(name, str(batch), *(f"{1000 * each:.1f}" for each in seconds))
    console.print(table)


def _median(call: Callable[[], object], repeat: int) -> float:
    call()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        # Both end with numbers on the CPU, so that nothing is left to wait for.
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
