"""Writes the golden files of MLIC++ in stream version 1: ``python tests/golden/make_v1_mlicpp.py``.

They were written once and are never edited, so this refuses to overwrite them: it is kept to show
where they come from.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.golden.make_v1 import write_stream_files  # noqa: E402
from tests.pictures import gradient, noise, scene  # noqa: E402
from ugicm_codec import Codec  # noqa: E402
from ugicm_codec.models.mlicpp.config import MlicppConfig  # noqa: E402
from ugicm_training.export import export_model  # noqa: E402
from ugicm_training.mlicpp import TrainableMlicpp  # noqa: E402

FOLDER = Path(__file__).with_name("v1-mlicpp")
STEPS = 3

# As many slices as published, each of two channels.
CONFIG = MlicppConfig(
    channels=8,
    latent_channels=20,
    slices=10,
    view_features=8,
    view_octaves=2,
    entry_channels=8,
    channel_widths=(8, 8),
    parameter_widths=(16, 12, 8),
    residual_widths=(8, 8),
)


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
    model.write_bytes(
        export_model(
            tiny_float_model(),
            calibration=_calibration(),
            quality_steps=STEPS,
            training={"steps": 0},
        )
    )
    codec = Codec.load(str(model), precision=torch.float32)
    for name, (picture, step) in pictures.items():
        write_stream_files(FOLDER, codec, name, codec.encode(picture, 100 * step // (STEPS - 1)))


def _calibration() -> torch.Tensor:
    photo = torch.from_numpy(scene(256, 256, seed=3)).permute(2, 0, 1)[None] / 255.0
    generator = torch.Generator().manual_seed(22)
    return torch.cat([photo, torch.rand(1, 3, 256, 256, generator=generator)])


@torch.no_grad()
def tiny_float_model() -> TrainableMlicpp:
    """Return a model with random weights of sizes that make a lively entropy model."""
    torch.manual_seed(21)
    model = TrainableMlicpp(CONFIG, knots=STEPS, lambdas=(0.002, 0.05))
    pictures = _calibration()
    # Nothing is trained; only sizes are set: latents of several units, contexts that matter, scales
    # that are too small for some latents so that values escape, pictures that fill the grey levels.
    for part in (model.h_s, model.context):
        for name, parameter in part.named_parameters():
            if parameter.ndim > 1 and "position_bias" not in name:
                parameter *= 1.6
            elif "position_bias" in name:
                parameter.normal_(0.0, 0.5)
    model.g_a[-1].weight *= 6.0 / model.g_a(pictures).std()
    y = model.g_a(pictures)
    model.h_a[-1].weight *= 4.0 / model.h_a(y).std()
    for context in model.context.slices:
        for parameters in (context.anchor_parameters, context.nonanchor_parameters):
            parameters[-1].bias[: CONFIG.slice_channels] += 3.0
    for term in model.g_s.view_terms:
        term.weight.normal_(0.0, 0.3)
    model.bottleneck.quantiles[:, 0, 1] = torch.linspace(-0.4, 0.4, CONFIG.channels)
    human = model.g_s.terms(torch.zeros(1))
    spread = model.g_s(y.round(), human).std()
    model.g_s.output[0].weight *= 0.2 / spread
    model.g_s.output[0].bias.fill_(0.5)
    return model


if __name__ == "__main__":
    main()
