"""A CompressAI checkpoint becomes a model file that codes as CompressAI does."""

import hashlib
import sys

import numpy as np
import pytest
import torch
from compressai.models.google import FactorizedPrior, MeanScaleHyperprior, ScaleHyperprior
from torch.nn import functional

from tests.pictures import scene
from tests.threads import one_thread
from ugicm_codec import Codec
from ugicm_training.checkpoints import Inputs
from ugicm_training.cli import main
from ugicm_training.errors import ForeignCheckpoint
from ugicm_training.export import export_model
from ugicm_training.imported.compressai import from_compressai, read_compressai_checkpoint
from ugicm_training.imported.kinds import import_checkpoint
from ugicm_training.pretrained import load_start
from ugicm_training.recipes import retrofit
from ugicm_training.starting import first_checkpoint

# A network trained here is the same however many threads there are.
__all__ = ["one_thread"]


@pytest.fixture(scope="module")
def network():
    """A small hyperprior, trained until pictures look like themselves."""
    torch.manual_seed(0)
    network = ScaleHyperprior(16, 24)
    pictures = batch(scene(64, 64, seed) for seed in range(8))
    parameters = [value for name, value in network.named_parameters() if "quantiles" not in name]
    optimizer = torch.optim.Adam(parameters, 2e-3)
    for _ in range(150):
        out = network(pictures)
        bits = -sum(value.log2().sum() for value in out["likelihoods"].values())
        squared_error = (out["x_hat"] - pictures).square().mean()
        optimizer.zero_grad()
        (bits / pictures[:, 0].numel() + 0.05 * 255**2 * squared_error).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    network.update(update_quantiles=True)
    return network.eval()


@pytest.fixture(scope="module")
def off_centre(network):
    """The same with medians far from integers, as trained ones have."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        moved = ScaleHyperprior.from_state_dict(network.state_dict()).eval()
        shift = 6.0 * torch.rand(moved.N) - 3.0
    with torch.no_grad():
        bottleneck = moved.entropy_bottleneck
        moved.h_a[4].bias += shift
        slope = functional.softplus(bottleneck.matrices[0])
        bottleneck.biases[0] -= slope * shift[:, None, None]
        bottleneck.quantiles += shift[:, None, None]
    return moved


def batch(pictures):
    return torch.from_numpy(np.stack(list(pictures))).permute(0, 3, 1, 2).float() / 255.0


def grey(reconstruction):
    return reconstruction[0].clamp(0, 1).mul(255).round().permute(1, 2, 0).numpy()


def codec_of(network, path, calibration=None):
    data = export_model(
        from_compressai(network, 0.01),
        calibration=calibration,
        quality_steps=1,
        training={"lambdas": [0.01, 0.01]},
    )
    path.write_bytes(data)
    return Codec.load(str(path), precision=torch.float32)


@pytest.mark.parametrize("which", ["network", "off_centre"])
@pytest.mark.parametrize("calibrated", ["on pictures", "on the entropy model"])
def test_our_decode_and_our_streams_are_compressai_s(which, calibrated, request, tmp_path):
    network = request.getfixturevalue(which)
    pictures = batch([scene(128, 128, 5)]) if calibrated == "on pictures" else None
    codec = codec_of(network, tmp_path / "model.safetensors", pictures)
    assert codec.model.quality_steps == 1
    for seed, size in ((11, (128, 192)), (12, (256, 384))):
        picture = scene(*size, seed)
        stream = codec.encode(picture)
        with torch.no_grad():
            expected = network(batch([picture]))
            integers = torch.from_numpy(codec.decode_latents(stream).integers.astype(np.float32))
            of_our_latents = network.g_s(integers.permute(2, 0, 1)[None])
        bits = -sum(float(value.log2().sum()) for value in expected["likelihoods"].values())
        assert abs(len(stream) - bits / 8) <= 0.005 * bits / 8 + 64
        decoded = codec.decode(stream).astype(np.float32)
        assert np.abs(decoded - grey(of_our_latents)).max() <= 1.0
        # Weights in half precision: a latent between two integers may fall on the other side.
        difference = np.abs(decoded - grey(expected["x_hat"]))
        assert np.mean(difference > 1.0) < 0.01
        assert difference.mean() < 0.05


@torch.no_grad()
@pytest.mark.parametrize("which", ["network", "off_centre"])
def test_the_float_model_s_pictures_and_likelihoods_are_compressai_s(which, request, tmp_path):
    network = request.getfixturevalue(which)
    torch.save(network.state_dict(), tmp_path / "zoo.pth.tar")
    model = import_checkpoint(tmp_path / "zoo.pth.tar", 0.01).model.eval()
    pictures = batch([scene(64, 128, seed) for seed in (21, 22)])
    expected = network(pictures)
    y = model.g_a(pictures)
    z_hat, z_likelihoods = model.bottleneck(model.h_a(y), training=False)
    predicted = model.predict(y, model.h_s(z_hat), precision=torch.float32)
    _, y_likelihoods = model.gaussian(y, predicted.scales, predicted.means, training=False)
    x_hat = model.g_s(predicted.y_hat, model.g_s.terms(torch.tensor([0.0, 1.0])))
    for ours, theirs in (
        (x_hat, expected["x_hat"]),
        (y_likelihoods, expected["likelihoods"]["y"]),
        (z_likelihoods, expected["likelihoods"]["z"]),
    ):
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-5)


def test_every_view_of_an_imported_model_is_the_human_view(network, tmp_path):
    codec = codec_of(network, tmp_path / "model.safetensors")
    human, between, machine = codec.decode_views(codec.encode(scene(64, 64)), [0.0, 0.4, 1.0])
    assert np.array_equal(human, machine)
    assert np.array_equal(human, between)


def test_a_retrofit_of_an_imported_model_keeps_its_latents_id(off_centre, tmp_path):
    codec = codec_of(off_centre, tmp_path / "model.safetensors")
    start = load_start(tmp_path / "model.safetensors")
    assert start.bottleneck_loss < 1e-3
    offsets = from_compressai(off_centre, 0.01).hyper_offsets()
    assert offsets.abs().max() > 0.3
    assert torch.allclose(start.model.hyper_offsets(), offsets, atol=2e-3)
    torch.nn.init.normal_(start.model.g_s.view_terms[3].weight)
    data = export_model(
        start.model, calibration=None, quality_steps=1, training={}, base=start.base
    )
    (tmp_path / "retrofit.safetensors").write_bytes(data)
    retrofit = Codec.load(str(tmp_path / "retrofit.safetensors"), precision=torch.float32)
    assert retrofit.model.latents_id == codec.model.latents_id
    human, machine = retrofit.decode_views(codec.encode(scene(64, 64)), ["human", "machine"])
    assert not np.array_equal(human, machine)


def test_the_retrofit_recipe_begins_with_an_imported_model(off_centre, tmp_path):
    codec = codec_of(off_centre, tmp_path / "model.safetensors")
    inputs = Inputs("photos", "memory", "0" * 16, None, None, None, None)
    first = first_checkpoint(
        retrofit(), inputs, pictures=1, start=str(tmp_path / "model.safetensors")
    )
    model = first.model()
    assert first.recipe.lambdas == (0.01, 0.01)
    data = export_model(
        model,
        calibration=None,
        quality_steps=first.recipe.quality_steps,
        training=first.record,
        base=first.base,
    )
    (tmp_path / "retrofit.safetensors").write_bytes(data)
    retrofitted = Codec.load(str(tmp_path / "retrofit.safetensors"), precision=torch.float32)
    assert retrofitted.model.latents_id == codec.model.latents_id
    assert retrofitted.model.quality_steps == 1
    picture = scene(64, 96)
    assert retrofitted.encode(picture) == codec.encode(picture)


@pytest.mark.parametrize("wrap", ["zoo", "examples/train.py", "data parallel"])
def test_checkpoints_are_read_in_each_form_they_are_saved_in(network, tmp_path, wrap):
    state = dict(network.state_dict())
    if wrap == "examples/train.py":
        state = {"epoch": 3, "state_dict": state, "loss": 0.5, "optimizer": {"state": {}}}
    if wrap == "data parallel":
        state = {f"module.{name}": value for name, value in state.items()}
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(state, path)
    read = read_compressai_checkpoint(path)
    assert (read.N, read.M) == (16, 24)
    for name, value in network.named_parameters():
        assert torch.equal(read.get_parameter(name), value), name


def test_parameter_names_of_older_compressai_are_known(network, tmp_path):
    state = dict(network.state_dict())
    for kind, old in (("matrices", "_matrix"), ("biases", "_bias"), ("factors", "_factor")):
        for index in range(5):
            new = f"entropy_bottleneck.{kind}.{index}"
            if new in state:
                state[f"entropy_bottleneck.{old}{index}"] = state.pop(new)
    torch.save(state, tmp_path / "zoo.pth.tar")
    read = read_compressai_checkpoint(tmp_path / "zoo.pth.tar")
    assert torch.equal(read.entropy_bottleneck.matrices[2], network.entropy_bottleneck.matrices[2])


class Anything:
    pass


def changed(network, **tensors):
    return {**network.state_dict(), **{key.replace("__", "."): v for key, v in tensors.items()}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda network: Anything(), "no checkpoint of plain tensors"),
        (lambda network: [1, 2], "holds no state dict of named tensors"),
        (lambda network: {}, "holds no state dict of named tensors"),
        (lambda network: {"state_dict": {"a": 3}}, "holds no state dict of named tensors"),
        (lambda network: {"a": torch.zeros(1)}, "it has no g_a.0.weight"),
        (lambda network: FactorizedPrior(16, 24).state_dict(), "it has no h_a.0.weight"),
        (lambda network: MeanScaleHyperprior(16, 24).state_dict(), "size mismatch for h_s.0"),
        (lambda network: ScaleHyperprior(257, 8).state_dict(), "1 to 256 channels, got 257"),
        (
            lambda network: changed(network, context__weight=torch.zeros(1)),
            r'Unexpected key\(s\) in state_dict: "context.weight"',
        ),
        (
            lambda network: changed(network, g_s__6__bias=torch.zeros(4)),
            "size mismatch for g_s.6.bias",
        ),
        (
            lambda network: changed(network, g_s__6__bias=torch.full((3,), torch.nan)),
            "g_s.6.bias goes beyond 65504, or is not a number",
        ),
    ],
)
def test_other_checkpoints_are_refused_in_one_line(network, tmp_path, content, message):
    path = tmp_path / "other.pth"
    torch.save(content(network), path)
    with pytest.raises(ForeignCheckpoint, match=message) as refused:
        read_compressai_checkpoint(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"no checkpoint", b"PK\x03\x04 and no more", b"\x80\x02."])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path, data):
    path = tmp_path / "other.pth"
    path.write_bytes(data)
    with pytest.raises(ForeignCheckpoint, match=r"other\.pth is no") as refused:
        read_compressai_checkpoint(path)
    assert "\n" not in str(refused.value)


def test_the_command_writes_a_model_file_with_its_origin(network, tmp_path, monkeypatch, capsys):
    checkpoint, model = tmp_path / "best.pth.tar", tmp_path / "model.safetensors"
    torch.save({"state_dict": network.state_dict()}, checkpoint)
    arguments = ["ugicm-train", "import", str(checkpoint), "-o", str(model), "--lambda", "0.05"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0
    assert "N=16, M=24" in capsys.readouterr().out
    assert Codec.load(str(model)).model.training == {
        "lambdas": [0.05, 0.05],
        "imported": {
            "from": "CompressAI bmshj2018-hyperprior checkpoint",
            "name": "best.pth.tar",
            "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        },
    }
    assert load_start(model).model.gains.lambdas == (0.05, 0.05)


def test_the_command_refuses_in_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys):
    (tmp_path / "best.pth.tar").write_bytes(b"no checkpoint")
    arguments = ["import", str(tmp_path / "best.pth.tar"), "-o", str(tmp_path / "m.safetensors")]
    monkeypatch.setattr(sys, "argv", ["ugicm-train", *arguments])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 1
    assert capsys.readouterr().err.startswith("ugicm-train: ")
    assert [path.name for path in tmp_path.iterdir()] == ["best.pth.tar"]
