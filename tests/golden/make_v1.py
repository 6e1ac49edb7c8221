"""Writes the golden files of stream version 1: ``python tests/golden/make_v1.py``.

They were written once and are never edited, so this refuses to overwrite them: it is kept to show
where they come from. The next version's files come from a script and a folder of their own.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.pictures import gradient, noise, scene  # noqa: E402
from ugicm_codec import Codec, inspect  # noqa: E402
from ugicm_codec.models.bmshj2018 import Bmshj2018Config  # noqa: E402
from ugicm_training.export import export_model  # noqa: E402
from ugicm_training.model import TrainableHyperprior  # noqa: E402

FOLDER = Path(__file__).with_name("v1")
STEPS = 3
VIEWS = {"human": 0.0, "machine": 1.0}


def main() -> None:
    FOLDER.mkdir()
    pictures = {
        "pixel": (np.array([[[200, 30, 90]]], np.uint8), 0),
        "odd-noise": (noise(17, 33, seed=1), 2),
        "square-gradient": (gradient(64, 64), 1),
        "scene-best": (scene(200, 120, seed=2), 2),
        "scene-smallest": (scene(200, 120, seed=2), 0),
    }
    model = FOLDER / "tiny.safetensors"
    model.write_bytes(_tiny_model())
    codec = Codec.load(str(model), precision=torch.float32)
    for name, (picture, step) in pictures.items():
        write_stream_files(FOLDER, codec, name, codec.encode(picture, 100 * step // (STEPS - 1)))


def _tiny_model() -> bytes:
    torch.manual_seed(20)
    config = Bmshj2018Config(channels=8, latent_channels=12, view_features=8, view_octaves=2)
    model = TrainableHyperprior(config, knots=STEPS, lambdas=(0.002, 0.05))
    photo = torch.from_numpy(scene(256, 256, seed=3)).permute(2, 0, 1)[None] / 255.0
    pictures = torch.cat([photo, torch.rand(1, 3, 256, 256)])
    with torch.no_grad():
        # Nothing is trained; only sizes are set: latents of several units, scales that are too
        # small for some of them so that values escape, and pictures that fill the grey levels.
        _set_spread(model.g_a, model.g_a[-1], pictures, 6.0)
        y = model.g_a(pictures)
        _set_spread(model.h_a, model.h_a[-1], y, 4.0)
        z = model.h_a(y).round()
        _set_spread(model.h_s, model.h_s[-1], z, 1.0)
        model.h_s[-1].bias.fill_(3.0)
        for term in model.g_s.view_terms:
            term.weight.normal_(0.0, 0.3)
        human = model.g_s.terms(torch.zeros(1))
        spread = model.g_s(y.round(), human).std()
        model.g_s.output.weight *= 0.2 / spread
        model.g_s.output_bias.fill_(0.5)
    return export_model(model, calibration=pictures, quality_steps=STEPS, training={"steps": 0})


def _set_spread(
    network: torch.nn.Module, last: torch.nn.Module, x: torch.Tensor, spread: float
) -> None:
    last.weight *= spread / network(x).std()


def write_stream_files(folder: Path, codec: Codec, name: str, stream: bytes) -> None:
    """Write a stream, what is expected of it, and its views."""
    info = inspect(stream)
    latents = codec.decode_latents(stream)
    expected = {
        "header": {
            "version": info.version,
            "latents_id": info.latents_id.hex(),
            "height": info.height,
            "width": info.width,
            "quality_step": info.quality_step,
            "num_bytes": info.num_bytes,
        },
        "latents": {
            "shape": list(latents.integers.shape),
            "first": latents.integers[0, 0].tolist(),
            "smallest": int(latents.integers.min()),
            "largest": int(latents.integers.max()),
            "sha256": digest(latents.integers),
        },
    }
    (folder / f"{name}.ugi").write_bytes(stream)
    (folder / f"{name}.json").write_text(json.dumps(expected, indent=2) + "\n")
    for view, picture in zip(VIEWS, codec.decode_views(stream, list(VIEWS.values())), strict=True):
        Image.fromarray(picture).save(folder / f"{name}.{view}.png")


def digest(integers: np.ndarray) -> str:
    """Return the SHA-256 of latents, little-endian."""
    little = integers.astype(integers.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()


if __name__ == "__main__":
    main()
