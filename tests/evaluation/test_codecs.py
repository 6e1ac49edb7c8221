"""Codecs beside our own: they code what they are given, and say what they lack."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import torchvision_cpu
from tests.codec.conftest import TINY, TINY_MLICPP
from tests.pictures import scene
from ugicm_evaluation.codecs.classical import AVIF, JPEG, JPEG_XL, WEBP, PillowCodec, available
from ugicm_evaluation.codecs.compressai_zoo import ZooCodec
from ugicm_evaluation.codecs.decoded import DecodedPictures
from ugicm_evaluation.codecs.model import ModelCodec, ModelSet
from ugicm_evaluation.errors import BadCodec, BadPicture
from ugicm_evaluation.metrics.fidelity import psnr


@pytest.mark.parametrize("codec", [JPEG, WEBP, AVIF, JPEG_XL], ids=lambda codec: codec.name)
def test_a_higher_quality_costs_bytes_and_is_nearer(codec):
    original = scene(61, 75)
    files = [available(codec).encode(original, quality) for quality in (20, 90)]
    pictures = [codec.decode(file, (0.0,))[0] for file in files]
    assert len(files[0]) < len(files[1])
    assert psnr(pictures[0], original) + 3 < psnr(pictures[1], original)
    with Image.open(io.BytesIO(files[0])) as image:
        assert image.format == codec.format


def test_a_format_that_this_pillow_lacks_is_named():
    with pytest.raises(BadCodec, match="writes no HEIC"):
        available(PillowCodec("HEIC", ".heic", None, {}, "HEIC"))


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A folder with one untrained network, as CompressAI names and keeps its own."""
    torchvision_cpu.ensure()
    from compressai.zoo import bmshj2018_hyperprior

    torch.manual_seed(0)
    network = bmshj2018_hyperprior(1)
    network.update()
    folder = tmp_path_factory.mktemp("zoo")
    torch.save(network.state_dict(), folder / "bmshj2018-hyperprior-1-7eb97409.pth.tar")
    (folder / "2.pth").write_bytes(b"no checkpoint")
    return folder, network.eval()


def test_a_zoo_model_codes_as_compressai_does(zoo):
    folder, network = zoo
    codec = ZooCodec("bmshj2018-hyperprior", "mse", [1], folder, name="zoo")
    original = scene(70, 90)  # no multiple of 64
    data = codec.encode(original, 1)
    (picture,) = codec.decode(data, (0.0,))
    assert picture.shape == original.shape
    square = np.pad(original, ((0, 58), (0, 38), (0, 0)), "edge")
    pixels = torch.from_numpy(square).permute(2, 0, 1)[None] / 255.0
    with torch.inference_mode():
        coded = network.compress(pixels)
        expected = network.decompress(coded["strings"], coded["shape"])["x_hat"][0]
    expected = (expected * 255).round().clamp(0, 255).permute(1, 2, 0)[:70, :90].numpy()
    assert np.abs(picture - expected).max() <= 1  # rounding of floats
    assert len(data) == sum(len(one[0]) for one in coded["strings"]) + 10 + 2 * 4


@pytest.mark.parametrize(
    ("architecture", "quality", "complaint"),
    [
        ("hyper", 1, "zoo has no 'hyper'; it has bmshj2018-factorized, "),
        ("bmshj2018-hyperprior", 9, "qualities 1 to 8, got 9"),
        ("bmshj2018-hyperprior", 2, r"2\.pth holds no bmshj2018-hyperprior"),
        ("bmshj2018-hyperprior", 3, r"holds no \*-3-\*\.pth\.tar and no 3\.pth"),
        ("cheng2020-anchor", 1, "holds no cheng2020-anchor"),
    ],
)
def test_zoo_weights_that_are_not_to_be_had_are_named(zoo, architecture, quality, complaint):
    with pytest.raises(BadCodec, match=complaint):
        ZooCodec(architecture, "mse", [quality], zoo[0], name="zoo")


def test_a_download_that_fails_says_what_to_do(monkeypatch):
    torchvision_cpu.ensure()
    from compressai.zoo import image

    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(image, "load_state_dict_from_url", refuse)
    with pytest.raises(BadCodec, match=r"cannot be downloaded \(no route to host\); put them"):
        ZooCodec("bmshj2018-hyperprior", "mse", [1], None, name="zoo")


HEAD = "picture,quality,bytes,file,view\n"


@pytest.fixture
def table(tmp_path):
    Image.fromarray(scene(8, 12)).save(tmp_path / "decoded.png")
    path = tmp_path / "table.csv"
    path.write_text(f"{HEAD}a,3,700,decoded.png,0\na,3,700,decoded.png,1\na,5,900,decoded.png,\n")
    return path


def test_decoded_pictures_have_the_bytes_that_the_table_says(table):
    codec = DecodedPictures(table, name="theirs")
    assert codec.settings == {3: (0.0, 1.0), 5: (0.0,)}
    outcome = codec.outcome("a.jpg", 3, (0.0, 1.0))
    assert outcome.num_bytes == 700
    assert all((picture == scene(8, 12)).all() for picture in outcome.pictures)
    assert outcome.identity != codec.outcome("a.jpg", 5, (0.0,)).identity


@pytest.mark.parametrize("key", ["b.jpg", "aa"])
def test_a_picture_that_the_table_lacks_is_named(table, key):
    with pytest.raises(BadPicture, match=f"has no row of {key} at quality 3, view 0"):
        DecodedPictures(table, name="theirs").outcome(key, 3, (0.0,))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("picture,quality,bytes\n", "has no column 'file'"),
        (HEAD, "holds no rows"),
        (f"{HEAD}a,3,x,a.png,0\n", "line 2: invalid literal"),
        (f"{HEAD}a,3,0,a.png,0\n", "line 2: bytes are 1 or more"),
        (f"{HEAD}a,3,9,a.png,2\n", "a view is from 0 to 1, got 9 and 2.0"),
        (f"{HEAD}a,3,9,a.png,0\na,3,9,b.png,0\n", "line 3: a second row"),
    ],
)
def test_a_table_that_is_none_is_named(table, text, complaint):
    table.write_text(text)
    with pytest.raises(BadCodec, match=complaint):
        DecodedPictures(table, name="theirs")


def test_views_of_one_stream_have_one_size(table):
    table.write_text(f"{HEAD}a,3,700,decoded.png,0\na,3,701,decoded.png,1\n")
    with pytest.raises(BadPicture, match="700 and 701 bytes"):
        DecodedPictures(table, name="theirs").outcome("a", 3, (0.0, 1.0))


@pytest.fixture
def two_models():
    return ModelSet([str(TINY), str(TINY_MLICPP)])


@pytest.mark.parametrize(("place", "model"), [(0, TINY), (1, TINY_MLICPP)])
def test_of_models_of_one_rate_each_a_quality_is_the_place(two_models, place, model):
    picture, alone = scene(64, 64), ModelCodec(str(model))
    stream = two_models.encode(picture, place)
    assert stream == alone.encode(picture, 50)
    views = (0.0, 1.0)
    for one, other in zip(
        two_models.decode(stream, views), alone.decode(stream, views), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert alone.identity in two_models.identity


def test_models_whose_streams_cannot_be_told_apart_are_no_set():
    with pytest.raises(BadCodec, match="of tiny, tiny, two code the same latents"):
        ModelSet([str(TINY), str(TINY)])
