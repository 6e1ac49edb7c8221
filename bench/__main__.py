"""Compares UG-ICM with CompressAI's bmshj2018, side by side, and its services with itself.

Each measurement runs in a process of its own, one after the other, with the same weights on both
sides: the bundled model, and one of the literature's size whose weights are random (its pictures
are noise, its bytes and times are not).

Run it on a machine that does nothing else: ``make bench``, or ``python bench --quick``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from skimage import data

from ugicm_client.demo.photos import bundled_photos
from ugicm_codec import Codec
from weights import write_seeded_model

HERE = Path(__file__).parent
OUTPUT = HERE.parent / "bench-output"

# glibc's allocator returns each large tensor to the system, and faults it in again; these stop it.
ALLOCATORS = {
    "default": {},
    "tuned": {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "100000000000",
        "MALLOC_TOP_PAD_": "268435456",
    },
}
SUBJECTS = {"ugicm": "UG-ICM", "compressai": "CompressAI"}
SIZES = {"768x512": (512, 768), "1920x1080": (1080, 1920)}
PARTS = ("transform", "networks", "coder")

Result = dict[str, Any]


def main() -> None:
    """Measure everything, print the tables, and write all figures as JSON."""
    options = _options()
    # As wide as the tables, also where there is no terminal.
    console = Console(width=max(120, Console().width))
    with tempfile.TemporaryDirectory() as name:
        results = _measure(options, Path(name), console)
    path = options.json or OUTPUT / "bench.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    for model, size in _settings(options):
        console.print(_table(results, model, size))
    _print_others(console, results)
    console.print(f"all figures: {path}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python bench", description="Compare with CompressAI.")
    parser.add_argument("--quick", action="store_true", help="the small picture alone, 3 repeats")
    parser.add_argument("--repeat", type=int, default=7, help="of which the median is taken")
    parser.add_argument("--photos", type=Path, help="folder of photos for bfloat16's loss")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    if options.quick:
        options.repeat = 3
    return options


def _settings(options: argparse.Namespace) -> list[tuple[str, str]]:
    sizes = list(SIZES)[:1] if options.quick else list(SIZES)
    return [(model, size) for model in ("default", "128/192") for size in sizes]


def _measure(options: argparse.Namespace, folder: Path, console: Console) -> Result:
    pictures = dict(_pictures(folder))
    seeded = folder / "seeded.safetensors"
    write_seeded_model(seeded, np.load(pictures["768x512"]), channels=128, latent_channels=192)
    models = {"default": ("default", _middle_step()), "128/192": (str(seeded), 1)}
    runs: list[Result] = []
    with Progress(console=console, transient=True) as progress:
        settings = _settings(options)
        task = progress.add_task("", total=len(settings) * len(SUBJECTS) * len(ALLOCATORS) + 2)

        def run(script: str, *arguments: Any, **env: str) -> Result:
            progress.update(task, description=" ".join([script, *map(str, arguments)])[:60])
            result = _run(script, *arguments, **env)
            progress.advance(task)
            return result

        for model, size in settings:
            for subject in SUBJECTS:
                for allocator, env in ALLOCATORS.items():
                    arguments = (subject, *models[model], pictures[size], options.repeat)
                    where = {
                        "model": model,
                        "size": size,
                        "subject": subject,
                        "allocator": allocator,
                    }
                    runs.append(where | run("worker.py", *arguments, **env))
        services = run("services.py", pictures["768x512"], options.repeat)
        precision = run("precision.py", *_photos(options.photos))
    return {
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "instructions": torch.backends.cpu.get_cpu_capability(),
        },
        "runs": runs,
        "services": services,
        "precision": precision,
    }


def _run(script: str, *arguments: Any, **env: str) -> Result:
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    output = subprocess.run(
        command, env=os.environ | env, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    result: Result = json.loads(output.splitlines()[-1])
    return result


def _pictures(folder: Path) -> Iterator[tuple[str, Path]]:
    photo: NDArray[np.uint8] = data.stereo_motorcycle()[0]
    for name, (height, width) in SIZES.items():
        below, right = max(0, height - photo.shape[0]), max(0, width - photo.shape[1])
        mirrored = np.pad(photo, ((0, below), (0, right), (0, 0)), mode="symmetric")
        path = folder / f"{name}.npy"
        np.save(path, np.ascontiguousarray(mirrored[:height, :width]))
        yield name, path


def _photos(folder: Path | None) -> list[Path]:
    if folder is None:
        return bundled_photos()
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg"))


def _middle_step() -> int:
    return (Codec.load().model.quality_steps - 1) // 2


def _table(results: Result, model: str, size: str) -> Table:
    runs = [run for run in results["runs"] if (run["model"], run["size"]) == (model, size)]
    ours = next(run for run in runs if run["subject"] == "ugicm")
    table = Table(
        title=f"{size}, {model} model; times in ms, and how often UG-ICM's under the default "
        "allocator goes into them",
        title_justify="left",
    )
    for column in ("", "malloc", "whole", *PARTS, "first", "MiB", "bytes", "dB"):
        table.add_column(column, justify="right", no_wrap=True)
    for side in ("encode", "decode"):
        table.add_section()
        for run in runs:
            whole, parts = run[side]["steady"], run[side]["parts"]
            our_whole, our_parts = ours[side]["steady"], ours[side]["parts"]
            table.add_row(
                f"{SUBJECTS[run['subject']]} {side}s",
                run["allocator"],
                _time(whole, our_whole),
                *(_time(parts[part], our_parts[part]) for part in PARTS),
                f"{run[side]['first'] / whole:.1f}x",
                f"{run['peak_bytes'] / 2**20:.0f}",
                str(run["bytes"]),
                f"{run['psnr']:.2f}",
            )
    return table


def _time(seconds: float, ours: float) -> str:
    return f"{1000 * seconds:.1f} {seconds / ours:4.1f}x"


def _print_others(console: Console, results: Result) -> None:
    here, there = results["services"]["in-process"], results["services"]["gRPC"]
    for side in ("encode", "decode"):
        overhead = 100 * (there[side] / here[side] - 1)
        console.print(
            f"{side} 768x512 in-process {1000 * here[side]:.1f} ms, through gRPC (raw RGB) "
            f"{1000 * there[side]:.1f} ms: {overhead:+.1f} %"
        )
    precision = results["precision"]
    console.print(
        f"bfloat16 against float32 on {len(precision['photos'])} photos: "
        f"{precision['mean_loss_db']:.4f} dB lost on average, "
        f"{precision['largest_loss_db']:.4f} dB at most, "
        f"{precision['mean_growth_percent']:+.2f} % bytes"
        + ("" if precision["native"] else " (this CPU emulates it, so it is not used)")
    )


if __name__ == "__main__":
    main()
