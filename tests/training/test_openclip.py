"""CLIP by way of open_clip: the right pictures go in, and nothing is fetched for a file."""

import json
import logging
import socket

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tests.pictures import scene
from ugicm_training.errors import MissingWeights, UnknownTeacher
from ugicm_training.ms_clip import MsClip
from ugicm_training.teachers.opening import open_teacher
from ugicm_training.teachers.protocol import Interpolation, resize

CPU = torch.device("cpu")

# A CLIP of two layers: open_clip's own smallest has 43 million weights.
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return a folder with the weights of two models that open_clip knows from now on."""
    folder = tmp_path_factory.mktemp("clip")
    for name, config in (
        ("ugicm-tiny", TINY),
        ("ugicm-wide", TINY | {"embed_dim": 24}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder / f"{name}.json")
        torch.manual_seed(0)
        model = open_clip.create_model(name)
        save_file(model.state_dict(), folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments):
        raise AssertionError(f"went to the network: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def opened(folder, **settings):
    return open_teacher(
        f"open_clip:ugicm-tiny:{folder / 'ugicm-tiny.safetensors'}", CPU, **settings
    )


@pytest.mark.usefixtures("no_network")
def test_weights_from_a_file_need_no_network(tiny):
    teacher = opened(tiny)
    assert teacher.description == "open_clip ugicm-tiny (ugicm-tiny.safetensors)"
    assert teacher.embed(torch.rand(3, 3, 32, 32)).shape == (3, 16)


def test_pictures_are_prepared_as_open_clip_prepares_them(tiny):
    reference, _, prepare = open_clip.create_model_and_transforms(
        "ugicm-tiny", pretrained=str(tiny / "ugicm-tiny.safetensors")
    )
    picture = scene(80, 80)
    with torch.no_grad():
        expected = reference.eval().encode_image(prepare(Image.fromarray(picture))[None])
    teacher = opened(tiny)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255.0
    own = teacher.embed(resize(tensor, teacher))
    # Pillow rounds to bytes after resizing, PyTorch does not.
    assert torch.cosine_similarity(own, expected).item() > 0.999
    exact = np.asarray(Image.fromarray(picture).resize((32, 32), Image.Resampling.BICUBIC))
    rounded = torch.from_numpy(exact.copy()).permute(2, 0, 1)[None] / 255.0
    torch.testing.assert_close(teacher.embed(rounded), expected, atol=1e-5, rtol=1e-5)
    assert (resize(tensor, teacher) - rounded).abs().max() < 1.5 / 255


def test_the_mean_colour_is_what_normalisation_turns_into_zeros(tiny):
    teacher = opened(tiny)
    grey = torch.tensor(teacher.mean_colour)[None, :, None, None].expand(1, 3, 32, 32)
    with torch.no_grad():
        expected = teacher.network.encode_image(torch.zeros(1, 3, 32, 32))
    torch.testing.assert_close(teacher.embed(grey), expected, atol=1e-6, rtol=1e-5)


def test_settings_are_those_of_whose_weights_the_file_holds(tiny, monkeypatch):
    as_siglip = {"mean": (0.5, 0.4, 0.3), "std": (0.1, 0.2, 0.3), "interpolation": "bilinear"}
    as_openai = {"mean": (0.1, 0.1, 0.1), "quick_gelu": True}
    known(monkeypatch, siglip=as_siglip, openai=as_openai)
    file = tiny / "ugicm-tiny.safetensors"
    teacher = open_teacher(f"open_clip:ugicm-tiny:siglip={file}", CPU)
    assert teacher.mean_colour == (0.5, 0.4, 0.3)
    assert teacher.interpolation is Interpolation.BILINEAR
    assert teacher.description == "open_clip ugicm-tiny (siglip, ugicm-tiny.safetensors)"
    assert "QuickGELU" not in repr(teacher.network)
    quick = open_teacher(f"open_clip:ugicm-tiny:openai={file}", CPU)
    assert "QuickGELU" in repr(quick.network)


def test_a_file_alone_takes_what_all_weights_of_the_model_share(tiny, monkeypatch, caplog):
    known(monkeypatch, one={"mean": (0.5, 0.5, 0.5)}, other={"mean": (0.5, 0.5, 0.5)})
    with caplog.at_level(logging.WARNING):
        assert opened(tiny).mean_colour == (0.5, 0.5, 0.5)
    assert not caplog.records


def test_a_file_alone_whose_settings_are_open_is_warned_of(tiny, monkeypatch, caplog):
    known(monkeypatch, one={"mean": (0.5, 0.5, 0.5)}, other={"mean": (0.1, 0.1, 0.1)})
    with caplog.at_level(logging.WARNING):
        teacher = opened(tiny)
    assert teacher.mean_colour == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)
    assert "weights of ugicm-tiny differ in mean" in caplog.text
    assert "write TAG=FILE to say whose the file's are (one, other)" in caplog.text


def known(monkeypatch, **tags):
    """Let open_clip know weights of the tiny model."""
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda name: list(tags))
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, tag: tags[tag])


def test_another_side_is_asked_of_open_clip(tiny):
    teacher = opened(tiny, side=48)
    assert teacher.side == 48
    assert teacher.embed(torch.rand(1, 3, 48, 48)).shape == (1, 16)


def test_the_teacher_is_frozen_and_stays_so_when_the_trainer_trains(tiny):
    teacher = opened(tiny)
    trainer = nn.Module()
    trainer.codec, trainer.teacher, trainer.loss = nn.Conv2d(3, 3, 1), teacher, MsClip(teacher)
    trainer.train().requires_grad_(True)
    assert not any(module.training for module in teacher.network.modules())
    assert not any(each.requires_grad for each in teacher.network.parameters())
    assert len(list(trainer.parameters())) == 2


def test_gradients_reach_the_pictures_alone(tiny):
    teacher = opened(tiny)
    pictures = torch.rand(2, 3, 32, 32, requires_grad=True)
    teacher.embed(pictures).square().sum().backward()
    assert pictures.grad.abs().sum() > 0
    assert all(each.grad is None for each in teacher.network.parameters())


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no weights of ugicm-tiny"),
        (b"no weights at all", "holds no weights of ugicm-tiny"),
        (None, "holds no weights of ugicm-tiny: Error"),
    ],
    ids=["empty", "garbage", "another model's"],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_file_without_the_models_weights_is_one_clear_line(
    tiny, tmp_path, caplog, suffix, content, reason
):
    path = tmp_path / f"weights{suffix}"
    if content is not None:
        path.write_bytes(content)
    elif suffix == ".pt":
        torch.save(open_clip.create_model("ugicm-wide").state_dict(), path)
    else:
        path.write_bytes((tiny / "ugicm-wide.safetensors").read_bytes())
    caplog.clear()
    with pytest.raises(MissingWeights, match=reason) as refusal:
        open_teacher(f"open_clip:ugicm-tiny:{path}", CPU)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not caplog.records


@pytest.mark.usefixtures("no_network")
def test_what_is_neither_file_nor_tag_is_said_with_what_there_is():
    with pytest.raises(MissingWeights, match=r"'/no/such\.pt' is neither a file nor weights") as no:
        open_teacher("open_clip:ViT-B-32:/no/such.pt", CPU)
    assert "laion2b_s34b_b79k" in str(no.value)


def test_a_download_that_fails_says_what_to_do_instead(monkeypatch, tiny, caplog):
    def offline(*arguments, **settings):
        raise OSError("no route to host\nand much more")

    known(monkeypatch, hub={})
    monkeypatch.setattr(open_clip.factory, "get_pretrained_cfg", lambda *names: {"url": "x"})
    monkeypatch.setattr(open_clip.factory, "download_pretrained", offline)
    with pytest.raises(MissingWeights) as refusal:
        open_teacher("open_clip:ugicm-tiny:hub", CPU)
    assert str(refusal.value) == (
        "open_clip cannot load 'hub' of ugicm-tiny: Failed to download weights for tag 'hub': no "
        "route to host; without a network, give the file of its weights "
        "(open_clip:ugicm-tiny:hub=FILE) or a stand-in (ugicm-train teacher fit)"
    )
    assert not caplog.records


def test_an_unknown_model_is_said_with_names_like_it():
    with pytest.raises(UnknownTeacher, match=r"no model 'ViT-B32'; names like it: .*ViT-B-32"):
        open_teacher("open_clip:ViT-B32:openai", CPU)


@pytest.mark.parametrize(
    "specification",
    [
        "",
        "clip",
        "open_clip",
        "open_clip:ViT-B-32",
        "open_clip::x",
        "stand-in",
        "stand-in:",
        "x:y:z",
    ],
)
def test_a_specification_of_another_form_is_said_with_the_forms_there_are(specification):
    with pytest.raises(
        UnknownTeacher, match=r"a teacher is open_clip:MODEL:TAG, .* or stand-in:FILE"
    ):
        open_teacher(specification, CPU)
