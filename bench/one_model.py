"""Measures what one model for any quality and view costs beside one for each rate and two views.

Usage: python bench/one_model.py PHOTOS HELD_OUT --teacher SPECIFICATION --folder FOLDER

All branches begin with one checkpoint and have equally many steps and pictures (recipes
``proxy_*``). What FOLDER already holds is not trained again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch.nn import functional

from ugicm_codec import Codec
from ugicm_codec.memory import keep_freed_memory
from ugicm_training.checkpoints import Inputs, read_checkpoint
from ugicm_training.data import Storage, load_photos, open_pictures
from ugicm_training.engine import Precision, make_fabric
from ugicm_training.export import calibration_crops, export_model
from ugicm_training.files import write_file
from ugicm_training.recipes.proxy import proxy_any_quality, proxy_fixed_rate, proxy_start
from ugicm_training.starting import first_checkpoint
from ugicm_training.teachers.opening import open_teacher
from ugicm_training.teachers.protocol import resize
from ugicm_training.trainer import Trainer

RATES = (0.0, 1.0)
QUALITIES = (0, 25, 50, 75, 100)
VIEWS = (0.0, 0.25, 0.5, 0.75, 1.0)


def train(recipe, path, *, start, source, teacher):
    """Train to the end, on the CPU in float32; say how long it took."""
    if path.exists():
        return
    fabric = make_fabric("cpu", 1)
    pictures = open_pictures(
        source,
        Storage.MEMORY,
        minimum_side=recipe.minimum_side,
        held_out=recipe.held_out,
        device=fabric.device,
        workers=0,
    )
    inputs = Inputs(
        photos=source.name,
        storage=Storage.MEMORY.value,
        digest=pictures.digest,
        teacher=None,
        teacher_description=teacher.description,
        masks=None,
        masks_description=None,
    )
    first = first_checkpoint(recipe, inputs, pictures=pictures.count, start=start)
    unfinished = path.with_suffix(".unfinished")
    seconds = time.process_time()
    Trainer(
        first,
        unfinished,
        fabric=fabric,
        pictures=pictures,
        teacher=teacher,
        precision=Precision.FLOAT32,
    ).run()
    unfinished.replace(path)
    print(f"{recipe.name}: {time.process_time() - seconds:.0f} s of a processor", flush=True)


def export(checkpoint, source):
    """Write the model file beside the checkpoint, and return its path."""
    run = read_checkpoint(checkpoint)
    data = export_model(
        run.model(),
        calibration=calibration_crops(load_photos(source, minimum_side=64)),
        quality_steps=run.recipe.quality_steps,
        training=run.record,
    )
    path = checkpoint.with_suffix(".safetensors")
    write_file(path, data)
    return path


def similarity(teacher, original, decoded):
    stacked = torch.from_numpy(np.stack([original, *decoded])).permute(0, 3, 1, 2).float() / 255
    vectors = functional.normalize(teacher.embed(resize(stacked, teacher)), dim=1)
    return (vectors[1:] @ vectors[0]).tolist()


@torch.inference_mode()
def measure(model, photos, teacher, quality):
    """Return bits per pixel, and (PSNR, similarity) of each view; means over photos."""
    codec = Codec.load(str(model), precision=torch.float32)
    rates, values = [], []
    for photo in track(photos, f"{model.stem} at {quality}", console=Console(stderr=True)):
        stream = codec.encode(photo, quality)
        decoded = codec.decode_views(stream, VIEWS)
        psnr = [10 * np.log10(255**2 / np.mean((each * 1.0 - photo) ** 2)) for each in decoded]
        rates.append(8 * len(stream) / (photo.shape[0] * photo.shape[1]))
        values.append(list(zip(psnr, similarity(teacher, photo, decoded), strict=True)))
    return float(np.mean(rates)), np.mean(values, axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="to train on")
    parser.add_argument("held_out", type=Path, help="to measure on")
    parser.add_argument("--teacher", required=True, help="as ugicm-train run takes it")
    parser.add_argument("--folder", type=Path, required=True, help="for checkpoints and models")
    parser.add_argument("--crop", type=int, default=256, help="of the photos measured on")
    arguments = parser.parse_args()
    keep_freed_memory()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    side = proxy_any_quality().teacher_side
    teacher = open_teacher(arguments.teacher, torch.device("cpu"), side=side)

    def trained(recipe, start):
        path = arguments.folder / f"{recipe.name}.pt"
        train(recipe, path, start=start, source=arguments.photos, teacher=teacher)
        return path

    start = str(trained(proxy_start(), None))
    one = export(trained(proxy_any_quality(), start), arguments.photos)
    each = {
        rate: export(trained(proxy_fixed_rate(rate), start), arguments.photos) for rate in RATES
    }
    crop = arguments.crop
    photos = [
        np.ascontiguousarray(photo[:crop, :crop])
        for photo in load_photos(arguments.held_out, minimum_side=crop).pictures
    ]
    curve = {quality: measure(one, photos, teacher, quality) for quality in QUALITIES}
    fixed = {rate: measure(each[rate], photos, teacher, round(100 * rate)) for rate in RATES}
    print_at_equal_bytes(curve, fixed)
    print_by_view(curve, fixed)


def print_at_equal_bytes(curve, fixed):
    print(
        "\n| | bpp | human dB | machine dB | human similarity | machine similarity |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    rates = np.log([rate for rate, _ in curve.values()])
    # (qualities, views, kinds) to one column for each view and kind.
    columns = np.array([values for _, values in curve.values()]).reshape(len(rates), -1).T
    for quality, (rate, values) in fixed.items():
        # The other branch between its measured qualities.
        there = np.array([np.interp(np.log(rate), rates, column) for column in columns])
        there = there.reshape(values.shape)
        for name, row in (("fixed", values), ("any", there), ("any - fixed", there - values)):
            (human, machine), (human_similarity, machine_similarity) = row[[0, -1]].T
            print(
                f"| {name}, quality {quality:g} | {rate:.3f} | {human:.2f} | {machine:.2f} | "
                f"{human_similarity:.4f} | {machine_similarity:.4f} |"
            )


def print_by_view(curve, fixed):
    """Print both branches by view, means over the fixed branches' qualities."""
    branches = {
        "any": [curve[round(100 * quality)][1] for quality in fixed],
        "fixed": [values for _, values in fixed.values()],
    }
    for kind, name in enumerate(("PSNR in dB", "similarity")):
        print(f"\n| {name}, view | " + " | ".join(f"{view:g}" for view in VIEWS) + " |")
        print("| --- |" + " ---: |" * len(VIEWS))
        for branch, points in branches.items():
            means = np.mean(points, axis=0)[:, kind]
            print(f"| {branch} | " + " | ".join(f"{value:.4f}" for value in means) + " |")


if __name__ == "__main__":
    main()
