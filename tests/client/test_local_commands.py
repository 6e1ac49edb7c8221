"""The commands that need no server, as a script sees them: exit code, output, one line of error."""

import io
import json
import os
import pty
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import ugicm_codec
from tests.fake_codec import FakeCodec, FakeModel, picture
from ugicm_client.commands.main import main
from ugicm_codec.errors import UnknownModel, UnusableDevice

PICTURE = picture()


class FakeCodecs:
    """Stands where the codec's class is: a model called default, and no other."""

    def __init__(self):
        self.loaded = FakeCodec()

    def load(self, name, device):
        if name != "default":
            raise UnknownModel(f"no bundled model and no readable file {name!r}")
        if device != "cpu":
            raise UnusableDevice(f"cannot compute on {device}: no such hardware")
        return self.loaded


@pytest.fixture(autouse=True)
def codec(monkeypatch):
    codecs = FakeCodecs()
    monkeypatch.setattr(ugicm_codec, "Codec", codecs, raising=False)
    return codecs.loaded


@pytest.fixture
def folder(tmp_path, monkeypatch, codec):
    """A folder to work in, with a picture and the stream of another one."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PICTURE).save("photo.png")
    (tmp_path / "stored.ugi").write_bytes(codec.encode(PICTURE))
    return tmp_path


@pytest.fixture
def type_in(monkeypatch):
    return lambda data: monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def pixels(path):
    return np.array(Image.open(path))


def names(folder):
    return sorted(entry.name for entry in Path(folder).iterdir())


def records(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_encode_and_decode_write_beside_their_input(folder, capsys):
    assert main(["encode", "photo.png"]) == 0
    assert main(["decode", "photo.ugi"]) == 0
    np.testing.assert_array_equal(pixels("photo.human.png"), PICTURE)
    assert capsys.readouterr() == ("", "")


def test_every_view_becomes_a_file_of_its_own_and_latents_are_decoded_once(folder, codec):
    views = ["human", "machine", "0.5", "human"]
    assert main(["decode", "stored.ugi", *(f"--view={view}" for view in views)]) == 0
    for name, number in (("human", 0), ("machine", 1), ("view-0.5", 0.5)):
        expected = PICTURE ^ np.uint8(round(255 * number))
        np.testing.assert_array_equal(pixels(f"stored.{name}.png"), expected)
    assert codec.calls["decode_latents"] == 1


def test_standard_streams_carry_pictures_and_streams(folder, type_in, capfdbinary):
    type_in((folder / "photo.png").read_bytes())
    assert main(["encode", "-"]) == 0
    stream = capfdbinary.readouterr().out
    type_in(stream)
    assert main(["decode", "-", "-o", "-", "--format", "webp"]) == 0
    image = Image.open(io.BytesIO(capfdbinary.readouterr().out))
    assert image.format == "WEBP"
    np.testing.assert_array_equal(np.array(image), PICTURE)


def test_a_folder_is_encoded_into_a_folder(folder):
    Image.fromarray(PICTURE).save("second.bmp")
    assert main(["encode", ".", "-o", "made/for/it"]) == 0
    assert names("made/for/it") == ["photo.ugi", "second.ugi"]


def test_one_bad_picture_does_not_stop_the_others(folder, capsys):
    (folder / "bad.png").write_bytes(b"bad")
    assert main(["encode", ".", "-o", "out"]) == 1
    assert names("out") == ["photo.ugi"]
    assert capsys.readouterr().err == "ugicm: bad.png: not a picture of a known kind\n"


def test_encode_tells_a_program_what_it_wrote(folder, capsys):
    assert main(["encode", "photo.png", "-q", "70", "--json"]) == 0
    (record,) = records(capsys)
    size = (folder / "photo.ugi").stat().st_size
    assert record == {
        "input": "photo.png",
        "output": "photo.ugi",
        "height": 12,
        "width": 17,
        "num_bytes": size,
        "bits_per_pixel": 8 * size / (12 * 17),
        "quality_step": 70,
        "latents_id": FakeModel.latents_id.hex(),
        "model_sha256": FakeModel.sha256,
    }


def test_decode_tells_a_program_what_it_wrote(folder, capsys):
    assert main(["decode", "stored.ugi", "--view", "0.25", "--json"]) == 0
    assert records(capsys) == [
        {
            "input": "stored.ugi",
            "model_sha256": FakeModel.sha256,
            "output": "stored.view-0.25.png",
            "view": 0.25,
            "height": 12,
            "width": 17,
        }
    ]


def test_inspect_shows_people_and_programs_the_same(folder, capsys):
    assert main(["inspect", "stored.ugi"]) == 0
    line = capsys.readouterr().out
    assert main(["inspect", "stored.ugi", "--json"]) == 0
    (record,) = records(capsys)
    assert line.startswith(f"stored.ugi: 17x12, {record['num_bytes']} bytes")
    assert record["latents_id"] in line


def test_a_byte_budget_reaches_the_codec(folder, capsys):
    assert main(["encode", "photo.png", "--max-bytes", "10"]) == 1
    assert "photo.png: the smallest has" in capsys.readouterr().err


def test_the_background_shows_behind_transparent_pixels(folder):
    Image.new("RGBA", (2, 2)).save("clear.png")
    assert main(["encode", "clear.png", "--background", "#010203"]) == 0
    assert main(["decode", "clear.ugi"]) == 0
    assert (pixels("clear.human.png") == (1, 2, 3)).all()


@pytest.mark.parametrize("command", [["encode", "photo.png"], ["decode", "stored.ugi"]])
def test_existing_outputs_are_kept_unless_forced(folder, command, capsys):
    assert main(command) == 0
    assert main(command) == 1
    assert "exists; --force replaces" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("encode absent.png", 1, "absent.png: No such file or directory"),
        ("encode zero.png", 1, "zero.png: an empty file (0 bytes)"),
        ("encode stored.ugi -o x", 1, "stored.ugi: not a picture of a known kind"),
        ("encode long.png", 1, "long.png: at most 67108864 pixels"),
        ("encode empty", 1, "folder empty has no files ending in"),
        ("encode photo.png --model other", 1, "no readable file 'other'"),
        ("encode photo.png --device gpu", 2, "a device is cpu, cuda or cuda:NUMBER"),
        ("encode photo.png --device cuda", 1, "cannot compute on cuda: no such hardware"),
        ("encode photo.png -q 101", 2, "101 is not in the range 0<=x<=100"),
        ("encode photo.png -q fine", 2, "'fine' is not a valid integer"),
        ("encode photo.png -q 1 --max-bytes 9", 2, "exclude each other"),
        ("encode photo.png --max-bytes 0", 2, "0 is not in the range x>=1"),
        ("encode photo.png --background no", 2, "unknown color specifier: 'no'"),
        ("encode photo.png zero.png -o -", 2, "standard output takes one result"),
        ("encode photo.png -o - --json", 2, "--json needs standard output"),
        ("encode photo.png -o photo.png --force", 2, "photo.png is an input"),
        ("encode", 2, "Missing argument 'INPUTS...'"),
        ("decode stored.ugi --view sideways", 2, "got 'sideways'"),
        ("decode stored.ugi --view 1.5", 2, "got '1.5'"),
        ("decode stored.ugi --view nan", 2, "got 'nan'"),
        ("decode stored.ugi -o picture.gif", 2, "not to picture.gif"),
        ("decode photo.png", 1, "photo.png: expected magic"),
        ("decode zero.png", 1, "zero.png: "),
        ("decode foreign.ugi", 1, "foreign.ugi: coded for another model"),
        ("inspect photo.png", 1, "photo.png: expected magic"),
        ("inspect empty", 1, "folder empty has no files"),
        ("inspect .", 1, "foreign.ugi cut"),
        ("undo", 2, "No such command 'undo'"),
        ("encode photo.png --loud", 2, "No such option '--loud'"),
        ("serve nothing", 2, "'nothing' is not one of"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(folder, codec, capsys, arguments, code, message):
    (folder / "zero.png").touch()
    (folder / "empty").mkdir()
    foreign = FakeCodec(FakeModel(latents_id=b"another!")).encode(PICTURE)
    (folder / "foreign.ugi").write_bytes(foreign)
    (folder / "foreign.ugi cut.ugi").write_bytes(foreign[:-1])
    Image.new("1", (8193, 8192)).save("long.png")
    before = names(".")

    assert main(arguments.split()) == code
    err = capsys.readouterr().err
    assert err.startswith("ugicm: ")
    assert message in err
    assert err.count("\n") == 1
    assert names(".") == before


def test_a_disk_that_is_full_leaves_nothing(folder, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "photo.ugi")

    monkeypatch.setattr("pathlib.Path.replace", full)
    assert main(["encode", "photo.png"]) == 1
    assert capsys.readouterr().err == "ugicm: photo.ugi: No space left on device\n"
    assert names(".") == ["photo.png", "stored.ugi"]


def test_bytes_are_not_written_to_a_terminal(folder, monkeypatch, capsys):
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["encode", "photo.png", "-o", "-"]) == 2
    os.close(controller)
    assert "standard output is a terminal" in capsys.readouterr().err


def test_an_interrupt_is_reported_by_its_exit_code_alone(folder, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeCodec, "encode", interrupted)
    assert main(["encode", "photo.png"]) == 130
    assert capsys.readouterr().err.strip() == ""


@pytest.mark.parametrize("package", ["encoder", "decoder", "analytics"])
def test_a_service_that_is_not_installed_is_named(package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, f"ugicm_{package}", None)
    assert main(["serve", package]) == 1
    assert f"pip install ugicm-{package}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["import", "check"])
def test_what_takes_the_training_package_names_it(command, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ugicm_training", None)
    assert main(["models", command, "x.pth"]) == 1
    assert "pip install ugicm-training" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        *("", "encode", "decode", "inspect", "camera", "view", "analyze", "results"),
        *("serve", "demo", "models"),
    ],
)
def test_every_command_has_help_with_an_example(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:\n" in out
    assert f"  ugicm {command}".rstrip() in out.partition("Examples:")[2]
