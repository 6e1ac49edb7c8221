"""`check` passes a faithful export and fails whatever is not one."""

import copy
import sys

import pytest
import torch
from PIL import Image

from tests.pictures import scene
from ugicm_codec import Codec
from ugicm_codec.entropy.products import float64_product
from ugicm_codec.models.modelfile import read_model_file, serialise_model
from ugicm_training.agreement import Verdict, agreements
from ugicm_training.check import check_export
from ugicm_training.cli import main
from ugicm_training.errors import BadStart
from ugicm_training.pretrained import load_start

PICTURES = [scene(64, 128, 1), scene(70, 100, 2)]


@pytest.fixture(scope="module")
def model():
    return load_start("default").model


@pytest.fixture(scope="module")
def result(model):
    return check_export("default", model, PICTURES)


def test_the_bundled_model_passes_against_the_start_made_of_it(result):
    assert result.passed
    assert [row.quality for row in result.rows] == [0, 25, 50, 75, 100]
    for row in result.rows:
        assert 0.0 < row.worst <= 1.0
        assert row.stream_bpp > row.estimated_bpp
        assert row.export_psnr == pytest.approx(row.float_psnr, abs=0.1)
        assert row.export_psnr[0] > 25.0
    assert result.saturated == 0.0


def test_every_variant_present_decodes_the_same_latents(result):
    assert {each.verdict for each in result.agreements} <= {Verdict.SAME, Verdict.REFUSED}
    assert "cpu, float64_product, 1 threads" in {each.variant for each in result.agreements}


def test_threads_are_as_they_were_before(model):
    before = torch.get_num_threads()
    check_export("default", model, PICTURES[1:])
    assert torch.get_num_threads() == before


def test_streams_of_another_size_than_estimated_fail(model):
    other = copy.deepcopy(model)
    with torch.no_grad():
        # The float model expects far larger latents than the file was made for.
        other.h_s[4].bias.add_(5.0)
    result = check_export("default", other, PICTURES[:1])
    assert not result.passed
    assert max(row.worst for row in result.rows) > 1.0


def saturating():
    """The bundled model with activations 32 times as large as it was calibrated for."""
    file = read_model_file("default")
    key = "entropy.layers.0.shift"
    tensors = dict(file.tensors) | {key: file.tensors[key] - 5}
    return serialise_model(tensors, file.config, {})


def test_saturated_activations_fail(model, tmp_path):
    path = tmp_path / "saturating.safetensors"
    path.write_bytes(saturating())
    result = check_export(path, model, PICTURES[:1])
    assert result.saturated > 0.0
    assert not result.passed


def inexact(parts, layer, finish, at=None):
    return float64_product(parts, layer, lambda sums: finish(sums + 1), at)


def inexact_where_it_is_not_tried(parts, layer, finish, at=None):
    # The codec's self-check takes small maps.
    wrong = (parts[0].shape[1] > 8) * 10**6
    return float64_product(parts, layer, lambda sums: finish(sums + wrong), at)


@pytest.mark.parametrize(
    ("product", "verdict"),
    [
        (float64_product, Verdict.SAME),
        (inexact, Verdict.REFUSED),
        (inexact_where_it_is_not_tried, Verdict.DIFFERENT),
    ],
)
def test_a_product_is_judged_by_the_latents_it_decodes(product, verdict):
    stream = Codec.load("default").encode(scene(256, 256), 50)
    found = list(agreements("default", [stream], products=[product]))
    assert {each.verdict for each in found} == {verdict}
    assert all(product.__name__ in each.variant for each in found)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_decodes_the_same_latents():
    stream = Codec.load("default").encode(scene(256, 256), 50)
    found = [each for each in agreements("default", [stream]) if each.variant.startswith("cuda")]
    assert Verdict.SAME in {each.verdict for each in found}
    assert Verdict.DIFFERENT not in {each.verdict for each in found}


def test_a_float_model_of_other_sizes_is_refused(model, tmp_path):
    other = copy.deepcopy(model)
    other.config = None
    with pytest.raises(BadStart, match="default has Bmshj2018Config"):
        check_export("default", other, PICTURES)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(PICTURES[0]).save(folder / "scene.png")
    return folder


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["ugicm-train", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main()
    return done.value.code


def test_the_command_prints_a_table_and_succeeds(photos, monkeypatch, capsys):
    assert run(monkeypatch, "check", "default", photos) == 0
    printed = capsys.readouterr().out
    assert "estimate" in printed
    assert "same latents" in printed
    assert "passed" in printed


def test_the_command_fails_where_the_check_does(photos, tmp_path, monkeypatch, capsys):
    path = tmp_path / "saturating.safetensors"
    path.write_bytes(saturating())
    assert run(monkeypatch, "check", path, photos) == 1
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["absent", "PHOTOS"], 1, "no bundled model and no readable file 'absent'"),
        (["PHOTOS/scene.png", "PHOTOS"], 1, "scene.png is no model file"),
        (["default", "EMPTY"], 1, "no picture of at least 64 pixels"),
        (["default", "absent"], 2, "'absent' does not exist"),
        (["default", "PHOTOS", "--checkpoint", "PHOTOS/scene.png"], 1, "is no checkpoint"),
    ],
)
def test_bad_input_is_one_line(arguments, code, message, photos, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    places = {"PHOTOS": str(photos), "EMPTY": str(tmp_path / "empty")}
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
    assert run(monkeypatch, "check", *arguments) == code
    err = capsys.readouterr().err
    assert message in err
    assert code == 2 or len(err.strip().splitlines()) == 1
