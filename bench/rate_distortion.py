"""Compares a model with JPEG at equal bytes, on whole files of given photos.

Usage: python bench/rate_distortion.py PHOTOS [--model NAME|FILE] [--plot curves.png] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from ugicm_codec import Codec

QUALITIES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
JPEG_QUALITIES = (*range(1, 20), *range(20, 96, 3))


def psnr(picture, original):
    error = np.mean((picture.astype(np.float64) - original) ** 2)
    return 10 * np.log10(255**2 / error)


def jpeg_curve(original):
    """Return ascending bytes and PSNR of Pillow's JPEG, optimised, 4:2:0 as it is by default."""
    points = []
    for quality in JPEG_QUALITIES:
        file = io.BytesIO()
        Image.fromarray(original).save(file, "JPEG", quality=quality, optimize=True)
        points.append((file.tell(), psnr(np.asarray(Image.open(file)), original)))
    return np.array(sorted(points)).T


def measure(codec, path):
    original = np.asarray(Image.open(path).convert("RGB"))
    pixels = original.shape[0] * original.shape[1]
    jpeg_bytes, jpeg_psnr = jpeg_curve(original)
    rows = []
    for quality in QUALITIES:
        stream = codec.encode(original, quality)
        human, machine = codec.decode_views(stream, ["human", "machine"])
        # Below JPEG's smallest file there is nothing to compare with.
        comparable = len(stream) >= jpeg_bytes[0]
        at_equal_bytes = np.interp(np.log(len(stream)), np.log(jpeg_bytes), jpeg_psnr)
        rows.append(
            {
                "photo": path.name,
                "quality": quality,
                "bytes": len(stream),
                "bits_per_pixel": 8 * len(stream) / pixels,
                "human_psnr": psnr(human, original),
                "machine_psnr": psnr(machine, original),
                "jpeg_psnr": float(at_equal_bytes) if comparable else None,
            }
        )
    return rows


def mean(rows, key):
    values = [row[key] for row in rows if row[key] is not None]
    return float(np.mean(values)) if values else float("nan")


def gains(rows):
    return [row["human_psnr"] - row["jpeg_psnr"] for row in rows if row["jpeg_psnr"] is not None]


def plot(rows, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    of_quality = [[row for row in rows if row["quality"] == quality] for quality in QUALITIES]
    rates = [mean(group, "bits_per_pixel") for group in of_quality]
    for key, label in (
        ("human_psnr", "human view"),
        ("machine_psnr", "machine view"),
        ("jpeg_psnr", "JPEG at equal bytes"),
    ):
        axes.plot(rates, [mean(group, key) for group in of_quality], marker="o", label=label)
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("PSNR in dB")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="a folder of lossless pictures")
    parser.add_argument("--model", default="default", help="a bundled model or a model file")
    parser.add_argument("--plot", type=Path, help="write the curves as a picture")
    parser.add_argument("--json", type=Path, help="write every measurement")
    arguments = parser.parse_args()
    codec = Codec.load(arguments.model)
    rows = [
        row
        for path in sorted(arguments.photos.iterdir())
        if path.suffix.lower() in (".png", ".webp", ".tif", ".bmp")
        for row in measure(codec, path)
    ]
    print("Means over photos; JPEG is interpolated at each stream's bytes.\n")
    print("| quality | bits per pixel | human dB | machine dB | JPEG dB | gain dB | photos won |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for quality in QUALITIES:
        group = [row for row in rows if row["quality"] == quality]
        won = gains(group)
        print(
            f"| {quality} | {mean(group, 'bits_per_pixel'):.3f} | {mean(group, 'human_psnr'):.2f} "
            f"| {mean(group, 'machine_psnr'):.2f} | {mean(group, 'jpeg_psnr'):.2f} "
            f"| {np.mean(won) if won else float('nan'):+.2f} "
            f"| {sum(gain > 0 for gain in won)} of {len(won)} |"
        )
    print("\n| bits per pixel | streams | mean gain over JPEG dB | smallest |")
    print("| --- | ---: | ---: | ---: |")
    for low, high in ((0.0, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.7), (0.7, 1.0)):
        won = gains([row for row in rows if low <= row["bits_per_pixel"] < high])
        if won:
            print(f"| {low} to {high} | {len(won)} | {np.mean(won):+.2f} | {min(won):+.2f} |")
    if arguments.plot:
        plot(rows, arguments.plot)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
