"""The stand-in for CLIP: fitted to embeddings, measured on unseen photos, read from a file."""

import sys
from functools import partial

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from rich.progress import Progress
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from torchvision.models import mobilenet_v2

from tests.pictures import scene
from ugicm_training.cli import main
from ugicm_training.commands.teacher import teacher as command
from ugicm_training.errors import BadEmbeddings, EmptyDataset, MissingWeights, UnusableDevice
from ugicm_training.ms_clip import MsClip
from ugicm_training.teachers.fitting import FitSettings, fit_mapping, measure_retrieval
from ugicm_training.teachers.opening import open_teacher
from ugicm_training.teachers.protocol import Interpolation, resize
from ugicm_training.teachers.stand_in import (
    Features,
    StandIn,
    StandInRecord,
    read_backbone,
    stand_in_file,
)

CPU = torch.device("cpu")
QUIET = Progress(disable=True)
PILLOW = {
    Interpolation.BILINEAR: Image.Resampling.BILINEAR,
    Interpolation.BICUBIC: Image.Resampling.BICUBIC,
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return a file of an untrained MobileNetV2, with normalisations that do something."""
    torch.manual_seed(0)
    network = mobilenet_v2()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, 0.0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def file(weights, tmp_path_factory):
    """Return a stand-in's file whose mapping is random."""
    backbone = read_backbone(weights)
    size = sum(Features(backbone, CPU).widths)
    generator = torch.Generator().manual_seed(0)
    projection = torch.randn(size, 512, generator=generator) / size**0.5
    record = StandInRecord(photos=9, held_out=4, first=0.5, five=1.0)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    path.write_bytes(stand_in_file(backbone, projection, torch.zeros(512), record))
    return path


def photos(count, seed=0):
    """Return flat photos of many colours with a little structure."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 200, (count, 1, 1, 3))
    return [
        np.clip(colour + scene(48, 64, number) // 5, 0, 255).astype(np.uint8)
        for number, colour in enumerate(colours)
    ]


def embeddings_of(pictures):
    """Return vectors that tell of colours, beside much that all of them share."""
    means = np.stack([picture.mean((0, 1)) for picture in pictures]) / 255.0
    lift = np.random.default_rng(1).normal(size=(3, 512))
    return (5.0 + means @ lift).astype(np.float32)


def test_features_are_those_of_torchvision_in_evaluation_mode(weights):
    backbone = read_backbone(weights)
    reference = mobilenet_v2()
    reference.load_state_dict(backbone)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        last = reference.eval().features(2.0 * pictures - 1.0).mean((2, 3))
    features = Features(backbone, CPU)
    torch.testing.assert_close(features(pictures)[:, -1280:], last, atol=1e-4, rtol=1e-4)
    assert features.widths == (96, 160, 320, 1280)


def test_a_fit_finds_photos_it_never_saw(weights):
    features = Features(read_backbone(weights), CPU)
    pictures = photos(60)
    vectors = embeddings_of(pictures)
    settings = FitSettings(sides=(64,), crops=2, steps=60, batch=64)
    mapping = fit_mapping(features, pictures[20:], vectors[20:], settings, QUIET)
    fitted = StandIn(features, mapping.projection, mapping.offset, side=64)
    found = measure_retrieval(fitted, pictures[:20], vectors[:20], CPU)
    assert found.photos == 20
    assert found.first > 0.5  # chance: 0.05
    assert found.five > 0.9
    others = measure_retrieval(fitted, pictures[:20], np.roll(vectors[:20], 1, 0), CPU)
    assert others.first < 0.3


def test_the_same_seed_gives_the_same_fit(weights):
    features = Features(read_backbone(weights), CPU)
    pictures = photos(12)
    settings = FitSettings(sides=(32,), crops=1, steps=5, batch=8)
    fit = partial(fit_mapping, features, pictures, embeddings_of(pictures), progress=QUIET)
    first, again = fit(settings=settings), fit(settings=settings)
    other = fit(settings=FitSettings(sides=(32,), crops=1, steps=5, batch=8, seed=1))
    assert torch.equal(first.projection, again.projection)
    assert torch.equal(first.offset, again.offset)
    assert not torch.equal(first.projection, other.projection)


def test_training_tells_photos_apart_better_than_the_regression_it_starts_from(weights):
    features = Features(read_backbone(weights), CPU)
    pictures = photos(20)
    vectors = embeddings_of(pictures)
    targets = functional.normalize(torch.from_numpy(vectors), dim=1)
    targets = functional.normalize(targets - targets.mean(0), dim=1)
    squares = torch.cat([_square(picture) for picture in pictures])

    def doubt(rate):
        settings = FitSettings(sides=(32,), crops=0, steps=40, rate=rate, batch=32, dropout=0.0)
        mapping = fit_mapping(features, pictures, vectors, settings, QUIET)
        own = StandIn(features, mapping.projection, mapping.offset, side=32).embed(squares)
        similarity = functional.normalize(own, dim=1) @ targets.T
        return functional.cross_entropy(similarity / settings.temperature, torch.arange(20))

    assert doubt(rate=0.1) < 0.95 * doubt(rate=0.0)


def _square(picture):
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255.0
    return functional.interpolate(tensor, (32, 32), mode="bilinear", antialias=True)


def test_a_file_reads_back_as_it_was_written(file):
    teacher = open_teacher(f"stand-in:{file}", CPU)
    assert teacher.side == 224
    assert teacher.interpolation is Interpolation.BILINEAR
    assert teacher.description == (
        "CLIP-distilled MobileNetV2 teacher (stand-in for CLIP ViT-B/32), fitted to 9 photos; "
        "the right one of 4 unseen ones in 50.0%, among five in 100.0%; pictures of 224 pixels"
    )
    assert open_teacher(f"stand-in:{file}", CPU, side=96).side == 96


def test_vectors_come_in_float32_also_under_autocast(file):
    teacher = StandIn.load(file, CPU)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    exact = teacher.embed(pictures)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = teacher.embed(pictures)
    assert mixed.dtype == exact.dtype == torch.float32
    assert exact.shape == (2, 512)
    assert torch.cosine_similarity(mixed, exact).min() > 0.999


def test_pictures_of_its_mean_colour_enter_as_zeros(file):
    teacher = StandIn.load(file, CPU)
    entered = []
    teacher.features.network[0].register_forward_pre_hook(lambda _, inputs: entered.append(*inputs))
    colours = torch.tensor([[0.0, 0.0, 0.0], teacher.mean_colour, [1.0, 1.0, 1.0]])
    teacher.embed(colours[:, :, None, None].expand(3, 3, 32, 32))
    expected = torch.tensor([-1.0, 0.0, 1.0])[:, None, None, None].expand(3, 3, 32, 32)
    torch.testing.assert_close(entered[0], expected)


@pytest.mark.parametrize("interpolation", list(Interpolation))
def test_resizing_is_antialiased_and_the_teachers_own(file, interpolation):
    teacher = StandIn.load(file, CPU, side=40)
    teacher.interpolation = interpolation
    picture = scene(100, 90)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255.0
    of_pillow = Image.fromarray(picture).resize((40, 40), PILLOW[interpolation])
    expected = torch.from_numpy(np.asarray(of_pillow).copy()).permute(2, 0, 1)[None] / 255.0
    assert (resize(tensor, teacher) - expected).abs().max() < 1.5 / 255
    assert resize(expected, teacher) is expected


def test_the_teacher_is_frozen_and_stays_so_when_the_trainer_trains(file):
    teacher = StandIn.load(file, CPU)
    trainer = nn.Module()
    trainer.codec, trainer.teacher, trainer.loss = nn.Conv2d(3, 3, 1), teacher, MsClip(teacher)
    trainer.train().requires_grad_(True)
    network = teacher.features.network
    assert not any(module.training for module in network.modules())
    assert not any(each.requires_grad for each in network.parameters())
    assert len(list(trainer.parameters())) == 2


def test_gradients_reach_the_pictures_alone(file):
    teacher = StandIn.load(file, CPU)
    pictures = torch.rand(2, 3, 64, 64, requires_grad=True)
    teacher.embed(pictures).square().sum().backward()
    assert pictures.grad.abs().sum() > 0
    assert all(each.grad is None for each in teacher.features.network.parameters())


def test_a_side_that_leaves_no_pixel_is_refused(file):
    with pytest.raises(ValueError, match="at least 32 pixels, got 31"):
        StandIn.load(file, CPU, side=31)


def test_another_file_is_one_clear_line(file, weights, tmp_path):
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"nothing")
    part = tmp_path / "part.safetensors"
    tensors = {name: value for name, value in load_file(file).items() if name != "offset"}
    save_file(tensors, part, {"kind": "ugicm stand-in teacher 1", "record": "{}"})
    for path, message in (
        (tmp_path / "none.safetensors", "cannot be read as safetensors"),
        (garbage, "cannot be read as safetensors"),
        (weights, "is no stand-in teacher of this version: fit one with `ugicm-train teacher fit`"),
        (part, "is a damaged stand-in teacher: 'offset'"),
    ):
        with pytest.raises(MissingWeights, match=message) as refusal:
            StandIn.load(path, CPU)
        assert str(path) in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_a_backbone_of_another_kind_is_one_clear_line(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(MissingWeights, match="holds no torchvision mobilenet_v2") as refusal:
        read_backbone(tmp_path / "other.safetensors")
    assert "\n" not in str(refusal.value)


@pytest.fixture
def photo_folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    pictures = photos(12)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"of_{number}.png")
    names = [f"{number}.png" for number in range(12)]
    np.savez(tmp_path / "clip.npz", names=names, clip_vitb32=embeddings_of(pictures))
    return folder


def fit(folder, weights, *more):
    arguments = ["fit", folder, "--weights", weights, "--embeddings", folder.parent / "clip.npz"]
    arguments += ["--prefix", "of_", "-o", folder.parent / "teacher.safetensors", *more]
    return CliRunner().invoke(command, [str(each) for each in arguments])


def test_the_command_fits_measures_and_writes_what_opens(photo_folder, weights):
    (photo_folder / "of_3.png").write_bytes(b"no picture")
    result = fit(photo_folder, weights, "--held-out", 5, "--steps", 3)
    assert result.exit_code == 0, result.exception
    path = photo_folder.parent / "teacher.safetensors"
    assert f"{path}: fitted to 6 photos; of those it never saw," in result.stdout
    assert result.stdout.count("the right photo of 5 in") == 4
    assert "fitted to 6 photos" in open_teacher(f"stand-in:{path}", CPU).description

    arguments = [
        "measure",
        f"stand-in:{path}",
        str(photo_folder),
        "--prefix",
        "of_",
        "--side",
        "64",
    ]
    arguments += ["--embeddings", str(photo_folder.parent / "clip.npz")]
    measured = CliRunner().invoke(command, arguments)
    assert measured.exit_code == 0, measured.exception
    assert "shown 64 pixels: the right photo of 11 in" in measured.stdout


def refusal(result, photo_folder):
    assert result.exit_code == 1
    assert "\n" not in str(result.exception)
    assert not (photo_folder.parent / "teacher.safetensors").exists()
    return result.exception


def test_too_few_photos_are_refused(photo_folder, weights):
    error = refusal(fit(photo_folder, weights), photo_folder)
    assert isinstance(error, EmptyDataset)
    assert str(error) == "12 photos with embeddings, 300 are held out"


def test_embeddings_of_other_photos_are_refused(photo_folder, weights):
    error = refusal(fit(photo_folder, weights, "--prefix", "x_"), photo_folder)
    assert isinstance(error, EmptyDataset)
    assert "such as 'x_0.png'" in str(error)
    assert "--prefix completes names" in str(error)


@pytest.mark.parametrize(
    "arrays",
    [
        {"names": ["0.png"]},
        {"names": ["0.png"], "clip_vitb32": np.zeros((2, 4))},
        {"names": ["0.png"], "clip_vitb32": np.zeros(1)},
        {"names": ["0.png"], "clip_vitb32": np.full((1, 4), np.nan)},
        None,
    ],
    ids=["without vectors", "one too many", "no table", "not finite", "no npz"],
)
def test_a_file_that_is_no_table_of_embeddings_is_refused(photo_folder, weights, arrays):
    path = photo_folder.parent / "clip.npz"
    if arrays is None:
        path.write_bytes(b"nothing")
    else:
        np.savez(path, **arrays)
    error = refusal(fit(photo_folder, weights), photo_folder)
    assert isinstance(error, BadEmbeddings)
    assert "clip.npz holds no names and clip_vitb32" in str(error)


@pytest.mark.parametrize(
    ("specification", "line"),
    [
        ("stand-in:none.safetensors", "none.safetensors cannot be read as safetensors: "),
        ("open_clip:ViT-B-32:none.pt", "'none.pt' is neither a file nor weights that open_clip"),
        ("clip", "a teacher is open_clip:MODEL:TAG, "),
    ],
)
def test_wrong_weights_are_one_line_on_the_terminal(
    photo_folder, monkeypatch, capsys, specification, line
):
    arguments = ["measure", specification, str(photo_folder), "--device", "cpu"]
    arguments += ["--embeddings", str(photo_folder.parent / "clip.npz"), "--prefix", "of_"]
    monkeypatch.setattr(sys, "argv", ["ugicm-train", "teacher", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    written = capsys.readouterr()
    assert written.err.startswith(f"ugicm-train: {line}")
    assert written.err.count("\n") == 1
    assert not written.out


def test_a_device_that_is_not_there_is_refused(photo_folder, weights):
    error = refusal(fit(photo_folder, weights, "--device", "nonsense"), photo_folder)
    assert isinstance(error, UnusableDevice)
