import msgspec
import pytest

from ugicm_evaluation.config import Decoded, Model, Pictures, RunConfig, read_config
from ugicm_evaluation.errors import BadConfig

PHOTOS = '[[datasets]]\nkind = "pictures"\nname = "photos"\nfolder = "photos"\n'
JPEG = '[[codecs]]\nkind = "pillow"\nname = "JPEG"\nformat = "jpeg"\nqualities = [50]\n'
OURS = '[[codecs]]\nkind = "model"\nname = "ours"\nmodel = "default"\nqualities = [10, 20]\n'
PLAIN = (
    '[[codecs]]\nkind = "model"\nname = "plain"\nmodel = "default"\nqualities = [20]\n'
    'within = "ours"\n'
)


def read(folder, *parts, name="run"):
    path = folder / "run.toml"
    path.write_text("\n".join([f'name = "{name}"', *parts]))
    return read_config(path)


def test_paths_are_relative_to_the_file(tmp_path):
    weights = tmp_path / "yolo.onnx"
    weights.write_bytes(b"")
    judge = '[[judges]]\nkind = "analyzer"\nname = "yolo"\nanalyzer = "onnx:yolo.onnx"\n'
    config = read(tmp_path, PHOTOS, OURS, judge)
    assert config.datasets[0].folder == tmp_path / "photos"
    assert config.judges[0].analyzer == f"onnx:{weights}"
    assert config.codecs[0].model == "default"  # no file: a bundled model


def test_a_preset_is_a_value_and_a_variant_a_copy():
    config = RunConfig(
        name="preset",
        datasets=(Pictures(name="photos", folder="photos"),),
        codecs=(Model(name="ours", model="default", qualities=(10,)),),
    )
    more = msgspec.structs.replace(config, codecs=(*config.codecs, Decoded(name="x", table="x")))
    assert [codec.name for codec in more.codecs] == ["ours", "x"]
    assert hash(config) != hash(more)


OF_RATES = """
[[codecs]]
kind = "model"
name = "q"
model = ["q1.safetensors", "q2.safetensors"]
"""


def test_models_of_a_list_are_files_beside_the_configuration(tmp_path):
    for name in ("q1", "q2"):
        (tmp_path / f"{name}.safetensors").touch()
    (codec,) = read(tmp_path, PHOTOS, OF_RATES + "qualities = [0, 1]").codecs
    assert codec.model == tuple(str(tmp_path / f"{name}.safetensors") for name in ("q1", "q2"))


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ([PHOTOS], "missing required field `codecs`"),
        ([PHOTOS, JPEG, JPEG], "two codecs are called 'JPEG'"),
        ([PHOTOS + 'judges = ["eye"]', JPEG], "judges of photos: none is called 'eye'"),
        ([PHOTOS + 'metrics = ["lpips"]', JPEG], r"photos asks for lpips, and no lpips\.weights"),
        (
            [PHOTOS + 'metrics = ["psrn"]', JPEG],
            r"Invalid enum value 'psrn' - at `\$\.datasets\[0\]",
        ),
        ([PHOTOS + "colour = 1", JPEG], r"unknown field `colour` - at `\$\.datasets\[0\]`"),
        ([PHOTOS.replace("pictures", "films"), JPEG], "Invalid value 'films'"),
        ([PHOTOS, JPEG.replace("50", "101")], "<= 100"),
        ([PHOTOS, OF_RATES + "qualities = [0, 2]"], "2 models have the qualities 0 to 1, got 2"),
        (
            [PHOTOS, OF_RATES + 'qualities = [0]\nwithin = "JPEG"'],
            "q: only a model with a range of rates can stay within",
        ),
        ([PHOTOS, JPEG + 'datasets = ["kodak"]'], "datasets of JPEG: none is called 'kodak'"),
        ([PHOTOS, PLAIN, OURS], "plain: no model above it is called 'ours'"),
        ([PHOTOS, OURS, PLAIN.replace("20", "30")], "plain: ours has no quality 30 to stay within"),
        (["name = 3"], "run.toml: "),
    ],
)
def test_what_cannot_be_run_is_one_clear_line(tmp_path, parts, complaint):
    with pytest.raises(BadConfig, match=complaint) as error:
        read(tmp_path, *parts)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadConfig, match=r"absent\.toml: .*No such file"):
        read_config(tmp_path / "absent.toml")
