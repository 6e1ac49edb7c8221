"""MLIC++'s entropy model in fixed point: the float model's dataflow, and close to its numbers."""

import pytest
import torch

from tests.golden.make_v1_mlicpp import CONFIG, tiny_float_model
from tests.pictures import scene
from ugicm_codec import Codec
from ugicm_codec.entropy.checkerboard import checkerboard
from ugicm_codec.entropy.integers import LATENT_BITS
from ugicm_codec.entropy.mlicpp.coder import HYPER_BITS, PARAMETER_BITS
from ugicm_codec.entropy.mlicpp.dataflow import hyper_features, steps
from ugicm_codec.entropy.mlicpp.exact import ExactArithmetic, tensor_forms
from ugicm_codec.entropy.products import float64_product
from ugicm_codec.errors import BadModelFile
from ugicm_codec.models.modelfile import read_model_file, serialise_model
from ugicm_training.check import check_export
from ugicm_training.export import export_model
from ugicm_training.mlicpp_fixed_point import (
    FloatArithmetic,
    Pictures,
    float_layers,
    mlicpp_fixed_point,
)

CPU = torch.device("cpu")
HEIGHT, WIDTH = 7, 10


@pytest.fixture(scope="module")
def model():
    return tiny_float_model().eval()


@pytest.fixture(scope="module")
def coded(model):
    """Return hyper-latents, integers, and latents of one picture that is no multiple of 64."""
    generator = torch.Generator().manual_seed(3)
    z = torch.randint(-4, 5, (2, CONFIG.channels, 2, 3), generator=generator).float()
    y = 5.0 * torch.randn(2, CONFIG.latent_channels, HEIGHT, WIDTH, generator=generator)
    return z, y


@pytest.fixture(scope="module")
def predicted(model, coded):
    z, y = coded
    offsets = model.hyper_offsets()[:, None, None]
    with torch.no_grad():
        return model.context(y, model.h_s(z + offsets)[..., :HEIGHT, :WIDTH])


def each_step(arithmetic, entering, empty, latents_of):
    """Run all steps; yield each step's parameters, and last the latents."""
    hyper = hyper_features(arithmetic, entering)[:, :HEIGHT, :WIDTH].contiguous()
    running = steps(arithmetic, CONFIG, hyper, checkerboard(HEIGHT, WIDTH, CPU), empty)
    step = next(running)
    while True:
        yield step
        try:
            step = running.send(latents_of(step))
        except StopIteration as end:
            yield end.value
            return


def chosen(values, step):
    """Return ``(N, P, s)`` of ``(N, M, h, w)``."""
    return values.permute(0, 2, 3, 1).flatten(1, 2)[:, step.positions, step.channels]


@torch.no_grad()
def test_the_dataflow_on_floats_is_the_networks_own(model, coded, predicted):
    z, y = coded
    arithmetic = FloatArithmetic(*float_layers(model.h_s, model.context, CONFIG), CONFIG)
    entering = (z + model.hyper_offsets()[:, None, None]).permute(0, 2, 3, 1)
    empty = torch.zeros(2, HEIGHT, WIDTH, CONFIG.latent_channels)
    *parameters, latents = each_step(
        arithmetic,
        entering,
        empty,
        lambda step: (chosen(y, step) - step.means).round() + step.means,
    )
    assert len(parameters) == 2 * CONFIG.slices
    for step in parameters:
        for ours, theirs in ((step.scales, predicted.scales), (step.means, predicted.means)):
            torch.testing.assert_close(ours, chosen(theirs, step), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(latents, predicted.y_hat.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_dataflow_on_integers_is_close_to_that_on_floats(model, coded, predicted):
    z, y = coded
    offsets = model.hyper_offsets()
    exported = mlicpp_fixed_point(
        model.h_s, model.context, CONFIG, [Pictures(z, y, headroom=2.0)], offsets
    )
    assert {name: (tuple(exported[name].shape), exported[name].dtype) for name in exported} == {
        **tensor_forms(CONFIG),
        "hyper_offsets": ((CONFIG.channels,), torch.int64),
        "thresholds": ((63,), torch.int64),
    }
    arithmetic = ExactArithmetic(exported, CONFIG, device=CPU, products=[float64_product])
    entering = (z.permute(0, 2, 3, 1).long() << HYPER_BITS) + exported["hyper_offsets"]
    empty = torch.zeros(2, HEIGHT, WIDTH, CONFIG.latent_channels, dtype=torch.int32)

    def rounded(step):
        # What the float model decoded, less what is predicted on top: both know the same.
        wanted = (chosen(y, step) - chosen(predicted.means, step)).round()
        return ((wanted + chosen(predicted.means, step)) * 2**LATENT_BITS).round().int()

    *parameters, latents = each_step(arithmetic, entering.short(), empty, rounded)
    for step in parameters:
        for ours, theirs in ((step.scales, predicted.scales), (step.means, predicted.means)):
            error = ours.double() / 2**PARAMETER_BITS - chosen(theirs, step)
            assert error.abs().max() < 0.02 * chosen(theirs, step).abs().max()
    error = latents.double() / 2**LATENT_BITS - predicted.y_hat.permute(0, 2, 3, 1)
    assert error.abs().max() < 0.02


@pytest.fixture(scope="module")
def exported(model):
    picture = torch.from_numpy(scene(128, 128, seed=3)).permute(2, 0, 1)[None] / 255.0
    return export_model(model, calibration=picture, quality_steps=2, training={})


def test_an_export_has_the_sizes_that_the_float_model_tells(model, exported, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(exported)
    result = check_export(path, model, [scene(64, 128, seed=6)])
    assert [row.quality for row in result.rows] == [0, 25, 50, 75, 100]
    assert max(row.worst for row in result.rows) <= 1.0
    assert all(each.verdict.name != "DIFFERENT" for each in result.agreements)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("slices.3.latents.shift", torch.tensor(99), "latents.shift"),
        ("slices.0.local.norm_in.epsilon", torch.tensor(0), "epsilon"),
        ("slices.2.anchor.residual.0.narrow", torch.tensor(-1), "bits to drop"),
        ("slices.1.inter.keys.bias", torch.full((2,), 2**31), "2\\*\\*31"),
        ("h_s.0.weight", torch.zeros(1, 1, dtype=torch.int16), "h_s.0.weight"),
        ("hyper_offsets", torch.full((8,), 2**40), "hyper_offsets"),
    ],
)
def test_numbers_that_might_be_inexact_are_refused(exported, tmp_path, name, value, message):
    path = tmp_path / "model.safetensors"
    path.write_bytes(exported)
    file = read_model_file(str(path))
    tensors = {**file.tensors, f"entropy.{name}": value}
    path.write_bytes(serialise_model(tensors, file.config, {}))
    with pytest.raises(BadModelFile, match=message):
        Codec.load(str(path))
