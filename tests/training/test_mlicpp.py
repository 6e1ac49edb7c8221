"""MLIC++ is trained by the same trainer, in the same stages, as the other backbone."""

import re

import numpy as np
import pytest
import torch

from tests.pictures import scene
from tests.threads import one_thread
from tests.training.runs import INPUTS, short, trainer, write_photos
from ugicm_codec import Codec
from ugicm_codec.models.mlicpp.config import MlicppConfig
from ugicm_training.checkpoints import read_checkpoint
from ugicm_training.data import load_photos
from ugicm_training.export import calibration_crops, export_model
from ugicm_training.mlicpp import TrainableMlicpp
from ugicm_training.pretrained import load_start
from ugicm_training.recipes import Trained
from ugicm_training.starting import first_checkpoint

# A network trained here is the same however many threads there are.
__all__ = ["one_thread"]

CONFIG = MlicppConfig(
    channels=8,
    latent_channels=8,
    slices=2,
    view_features=16,
    view_octaves=2,
    entry_channels=8,
    channel_widths=(16, 12),
    parameter_widths=(32, 24, 16),
    residual_widths=(16, 12),
    two_ended=True,
)

# What a view adds is not trained here; nor are medians.
SILENT = ("g_s.embedding.", "g_s.view_terms.", "bottleneck.quantiles")
# A softmax over positions does not see what is added to all of them; and an untrained h_a rounds
# to zeros, which count no weight of the layer after.
SHIFTS = re.compile(r"\.keys\.1\.bias$|^h_s\.0\.weight$")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("set") / "photos")


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """Return the path of a whole run's checkpoint."""
    path = tmp_path_factory.mktemp("whole") / "run.pt"
    run = trainer(path, folder, short(config=CONFIG))
    run.run()
    assert run.finished
    return path


def export(checkpoint, folder, path):
    photos = load_photos(folder, minimum_side=64)
    data = export_model(
        checkpoint.model(),
        calibration=calibration_crops(photos),
        quality_steps=checkpoint.recipe.quality_steps,
        training=checkpoint.record,
        base=checkpoint.base,
    )
    path.write_bytes(data)
    return Codec.load(str(path), precision=torch.float32)


def test_both_stages_train_what_they_say(folder, whole):
    checkpoint = read_checkpoint(whole)
    recipe = checkpoint.recipe
    assert recipe.config == CONFIG
    assert [stage.trained for stage in recipe.stages] == [Trained.EVERYTHING, Trained.MACHINE_END]
    first = first_checkpoint(recipe, INPUTS, pictures=4, start=None).model()
    last = checkpoint.model()
    assert isinstance(last, TrainableMlicpp)
    unchanged = {
        name
        for name, value in last.named_parameters()
        if torch.equal(value, first.get_parameter(name))
    }
    # The first stage has one view, which leaves the view's network alone; the second has others,
    # and trains the machine end.
    without_effect = {name for name, _ in last.named_parameters() if not name.startswith(SILENT)}
    assert not {name for name in unchanged if name in without_effect and not SHIFTS.search(name)}
    of_views = {name for name in unchanged if name.startswith(SILENT)}
    assert of_views == {name for name, _ in last.named_parameters() if name.startswith(SILENT)}
    human, machine = last.g_s, last.g_s.machine
    assert not torch.equal(human.output[0].weight, machine.output[0].weight)


def test_steps_make_the_loss_smaller():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TrainableMlicpp(CONFIG, knots=2, lambdas=(0.01, 0.1))
        pictures = torch.from_numpy(np.stack([scene(64, 64, seed) for seed in range(2)]))
        pictures = pictures.permute(0, 3, 1, 2).float() / 255.0
        optimizer = torch.optim.Adam(model.parameters(), 2e-3)
        losses = []
        for _ in range(25):
            coded = model.encode(pictures, torch.ones(2), precision=torch.float32)
            decoded = model.synthesise(coded.y_hat, torch.zeros(2), precision=torch.float32)
            distortion = 0.1 * 255**2 * (decoded - pictures).square().mean()
            loss = distortion + coded.bits.sum() / pictures[:, 0].numel()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])


def test_gradients_reach_every_part_of_the_entropy_model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TrainableMlicpp(CONFIG, knots=2, lambdas=(0.01, 0.1))
        pictures = torch.rand(2, 3, 64, 128)
        coded = model.encode(pictures, torch.tensor([0.0, 1.0]), precision=torch.float32)
    (coded.bits.sum() + coded.y_hat.square().sum()).backward()
    silent = {
        name
        for name, value in model.named_parameters()
        if name.startswith(("context.", "h_a.", "h_s.", "g_a."))
        and (value.grad is None or not value.grad.any())
    }
    assert {name for name in silent if not SHIFTS.search(name)} == set()


def test_an_export_codes_and_decodes_either_view(folder, whole, tmp_path):
    checkpoint = read_checkpoint(whole)
    codec = export(checkpoint, folder, tmp_path / "model.safetensors")
    assert codec.model.backbone == "mlicpp"
    picture = scene(80, 112, 3)
    decoded = codec.decode_views(codec.encode(picture), ["human", "machine"])
    assert all(each.shape == picture.shape for each in decoded)


@torch.no_grad()
def test_a_model_file_is_a_starting_point(folder, whole, tmp_path):
    """A retrofit goes on with the file's own networks, and keeps its streams."""
    checkpoint = read_checkpoint(whole)
    codec = export(checkpoint, folder, tmp_path / "model.safetensors")
    start = load_start(tmp_path / "model.safetensors")
    original = checkpoint.model()
    picture = torch.from_numpy(scene(64, 128, 9)).permute(2, 0, 1)[None].float() / 255.0
    predictions = []
    for model in (original, start.model):
        model.eval()
        gain, _ = model.gains(torch.tensor([1.0]))
        y = original.g_a(picture) * gain[:, :, None, None]
        z_hat = original.h_a(y).round()
        predictions.append(model.predict(y, model.h_s(z_hat), precision=torch.float32))
    ours, theirs = predictions
    scale = ours.means.abs().max()
    assert (ours.means - theirs.means).abs().max() < 0.02 * max(1.0, float(scale))
    assert (ours.scales - theirs.scales).abs().max() < 0.02 * max(1.0, float(ours.scales.max()))
    torch.nn.init.normal_(start.model.g_s.view_terms[7].weight)
    data = export_model(
        start.model, calibration=None, quality_steps=3, training={}, base=start.base
    )
    (tmp_path / "retrofit.safetensors").write_bytes(data)
    retrofit = Codec.load(str(tmp_path / "retrofit.safetensors"), precision=torch.float32)
    assert retrofit.model.latents_id == codec.model.latents_id
    stream = codec.encode(scene(64, 64))
    assert retrofit.encode(scene(64, 64)) == stream
    assert not np.array_equal(retrofit.decode(stream, "machine"), codec.decode(stream, "machine"))
    # An entropy model that has moved makes other latents.
    start.model.context.slices[1].intra.mlp[0].weight[0, 0] += 0.1
    data = export_model(
        start.model, calibration=None, quality_steps=3, training={}, base=start.base
    )
    (tmp_path / "moved.safetensors").write_bytes(data)
    assert (
        Codec.load(str(tmp_path / "moved.safetensors")).model.latents_id != codec.model.latents_id
    )
