"""Training starts from a model file, and what it does not touch stays as it was."""

import copy

import numpy as np
import pytest
import torch
from compressai.entropy_models import EntropyBottleneck
from safetensors.torch import load

from tests.pictures import scene
from ugicm_codec import Codec
from ugicm_codec.errors import UnknownModel
from ugicm_codec.models.bmshj2018 import Bmshj2018Config, HyperSynthesis
from ugicm_codec.models.modelfile import latents_id_of, read_model_file, serialise_model
from ugicm_training.bottleneck import fit_bottleneck
from ugicm_training.errors import BadStart
from ugicm_training.export import export_model
from ugicm_training.fixed_point import Calibration, from_fixed_point, to_fixed_point
from ugicm_training.model import TrainableHyperprior
from ugicm_training.pretrained import codes_as, load_start
from ugicm_training.tables import hyper_tables

TINY = Bmshj2018Config(channels=8, latent_channels=12, view_features=16, view_octaves=2)


@pytest.fixture(scope="module")
def start():
    return load_start("default")


def calibration():
    pictures = np.stack([scene(64, 64, seed) for seed in range(2)])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255.0


def exported(model, base=None, training=None):
    return export_model(
        model,
        calibration=calibration(),
        quality_steps=101,
        training=training or {},
        base=base,
    )


def test_the_start_decodes_a_stream_to_the_same_pictures(start):
    codec = Codec.load("default", precision=torch.float32)
    picture = scene(128, 192)
    for quality in (0, 37, 100):
        stream = codec.encode(picture, quality)
        latents = codec.decode_latents(stream)
        integers = torch.from_numpy(latents.integers.astype(np.float32)).permute(2, 0, 1)[None]
        with torch.no_grad():
            _, inverse = start.model.gains(torch.tensor([quality / 100.0]))
            for view in (0.0, 0.5, 1.0):
                ours = start.model.synthesise(
                    integers * inverse[:, :, None, None],
                    torch.tensor([view]),
                    precision=torch.float32,
                )
                grey = ours[0].clamp(0.0, 1.0).mul(255.0).round().permute(1, 2, 0).numpy()
                expected = codec.decode(stream, view).astype(np.float32)
                assert np.abs(grey - expected).max() <= 1.0


def test_the_start_makes_the_latents_of_the_file(start):
    codec = Codec.load("default", precision=torch.float32)
    picture = scene(128, 192)
    expected = codec.decode_latents(codec.encode(picture, 60)).integers
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255.0
    with torch.no_grad():
        gain, _ = start.model.gains(torch.tensor([0.6]))
        y = start.model.g_a(pixels) * gain[:, :, None, None]
    ours = y[0].round().permute(1, 2, 0).numpy()
    # A latent on the edge between two integers may fall on either side.
    assert np.mean(ours != expected) < 1e-4


def test_an_export_that_only_retrained_the_synthesis_decodes_the_original_s_streams(
    start, tmp_path
):
    model = copy.deepcopy(start.model)
    with torch.no_grad():
        for parameter in model.g_s.parameters():
            parameter.mul_(0.99)
    data = exported(model, start.base)
    tensors = load(data)
    for name, value in start.base.items():
        assert torch.equal(tensors[name], value) != name.startswith("g_s."), name
    assert latents_id_of(tensors) == start.info.latents_id
    path = tmp_path / "retrofit.safetensors"
    path.write_bytes(data)
    stream = Codec.load("default").encode(scene(64, 96), 50)
    original, retrofit = Codec.load("default"), Codec.load(str(path))
    latents = original.decode_latents(stream)
    assert np.array_equal(latents.integers, retrofit.decode_latents(stream).integers)
    assert not np.array_equal(original.decode(stream), retrofit.decode(stream))


def test_an_untouched_start_exports_the_file_s_own_tensors(start):
    tensors = load(exported(start.model, start.base))
    assert tensors.keys() == start.base.keys()
    for name, value in start.base.items():
        assert torch.equal(tensors[name], value), name


@pytest.mark.parametrize("part", ["g_a", "h_a", "h_s", "gains"])
def test_a_touched_encoder_gets_a_latents_id_of_its_own(start, part):
    model = copy.deepcopy(start.model)
    parameter = next(getattr(model, part).parameters())
    with torch.no_grad():
        parameter.view(-1)[0] += 1e-3
    assert not codes_as(model, start.base)
    tensors = load(exported(model, start.base))
    assert latents_id_of(tensors) != start.info.latents_id


def test_a_model_of_other_sizes_is_not_taken_for_the_base(start):
    other = TrainableHyperprior(TINY, knots=2, lambdas=(0.01, 0.1))
    assert not codes_as(other, start.base)


def test_gains_of_every_row_follow_from_the_recovered_knots(start):
    assert len(start.model.gains.log_gain) == 5
    gain, inverse = start.model.gains(torch.linspace(0.0, 1.0, 101))
    assert torch.allclose(gain, start.base["entropy.gain"], rtol=1e-5)
    assert torch.allclose(inverse, start.base["entropy.inverse_gain"], rtol=1e-5)


def test_the_fitted_bottleneck_costs_less_than_a_thousandth_of_a_bit(start):
    assert 0.0 <= start.bottleneck_loss < 1e-3


def test_starting_is_deterministic_and_leaves_the_seed_alone(start):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    again = load_start("default")
    assert torch.equal(torch.rand(3), expected)
    for ours, theirs in zip(
        start.model.state_dict().values(), again.model.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_a_bottleneck_is_fitted_to_narrow_wide_and_shifted_tables():
    torch.manual_seed(0)
    truth = EntropyBottleneck(4)
    with torch.no_grad():
        # Slopes from a third of a step to tens of steps, medians on both sides.
        truth.matrices[0].add_(torch.tensor([3.0, 1.0, -1.0, -2.0])[:, None, None])
        truth.biases[0].add_(torch.tensor([4.0, -3.0, 0.5, 2.0])[:, None, None])
    fitted, offsets = EntropyBottleneck(4), torch.tensor([0.0, 0.3, -0.5, 0.1])
    assert fit_bottleneck(fitted, hyper_tables(truth, offsets), offsets) < 5e-3


def test_a_network_comes_back_from_fixed_point_and_goes_there_again():
    torch.manual_seed(0)
    h_s, back, z = (
        HyperSynthesis(TINY),
        HyperSynthesis(TINY),
        torch.randn(2, 8, 3, 5).mul(5).round(),
    )
    with torch.no_grad():
        # A map of the real ones' size: scales, not only numbers around zero.
        h_s[4].bias.add_(1.0)
        layers = to_fixed_point(h_s, [Calibration(z, 2.0)], torch.zeros(8))
        from_fixed_point(layers, back)
        assert torch.allclose(h_s(z), back(z), atol=2e-3)
        again = to_fixed_point(back, [Calibration(z, 2.0)], torch.zeros(8))
        twice = HyperSynthesis(TINY)
        from_fixed_point(again, twice)
        assert torch.allclose(back(z), twice(z), atol=1e-3)


def test_a_file_without_lambdas_needs_them_given(start, tmp_path):
    path = tmp_path / "bare.safetensors"
    file = read_model_file("default")
    path.write_bytes(serialise_model(file.tensors, file.config, {}))
    with pytest.raises(BadStart, match="bare cannot be trained further: its record names no lam"):
        load_start(path)
    assert load_start(path, lambdas=(0.01, 0.02)).model.gains.lambdas == (0.01, 0.02)


def test_a_file_of_other_scales_is_refused(start, tmp_path):
    path = tmp_path / "other.safetensors"
    file = read_model_file("default")
    thresholds = file.tensors["entropy.thresholds"]
    tensors = dict(file.tensors) | {"entropy.thresholds": thresholds + thresholds // 50}
    path.write_bytes(serialise_model(tensors, file.config, file.info.training))
    with pytest.raises(BadStart, match="belong to other scales"):
        load_start(path)


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(UnknownModel, match=r"no readable file .*absent\.safetensors"):
        load_start(tmp_path / "absent.safetensors")


def test_a_model_with_two_ends_goes_into_a_file_and_comes_back(start, tmp_path):
    model = start.model.with_two_ends()
    with torch.no_grad():
        for parameter in model.g_s.machine.parameters():
            parameter.mul_(0.98)
    path = tmp_path / "ends.safetensors"
    path.write_bytes(exported(model, start.base, start.info.training))
    codec = Codec.load(str(path), precision=torch.float32)
    assert codec.model.latents_id == start.info.latents_id
    stream = Codec.load("default").encode(scene(64, 128), 50)
    human = Codec.load("default", precision=torch.float32).decode(stream)
    assert np.array_equal(codec.decode(stream), human)

    back = load_start(path).model
    integers = codec.decode_latents(stream).integers.astype(np.float32)
    _, inverse = back.gains(torch.tensor([0.5]))
    y_hat = torch.from_numpy(integers).permute(2, 0, 1)[None] * inverse[:, :, None, None]
    for view in (0.3, 1.0):
        with torch.no_grad():
            ours = back.synthesise(y_hat, torch.tensor([view]), precision=torch.float32)
        grey = ours[0].clamp(0.0, 1.0).mul(255.0).round().permute(1, 2, 0).numpy()
        expected = codec.decode(stream, view).astype(np.float32)
        assert np.abs(grey - expected).max() <= 1.0
        assert not np.array_equal(expected, human)
