from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.settings import ServerSettings, Setting, read_settings


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Settings:
    model: Annotated[str, Setting("model to load")] = "default"
    threads: Annotated[int, Setting("threads to run", 1, 64)] = 2
    drain_seconds: Annotated[float, Setting("time to drain", 0)] = 20.0
    forward: Annotated[bool, Setting("whether to forward")] = False
    store: Annotated[Path | None, Setting("where frames are kept")] = None
    colour: Annotated[Colour, Setting("a colour")] = Colour.RED
    cameras: Annotated[tuple[str, ...], Setting("cameras to take")] = ()


def read(arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Settings:
    return read_settings(
        Settings, service="decoder", arguments=arguments, environment=environment or {}
    )


def problems(*arguments: str, **environment: str) -> tuple[str, ...]:
    with pytest.raises(BadSettings) as caught:
        read(arguments, environment)
    return caught.value.problems


def test_without_anything_the_defaults_count():
    assert read() == Settings()


def test_a_server_listens_on_loopback_unless_told_otherwise():
    assert ServerSettings().host == "127.0.0.1"


def test_flags_come_before_environment_before_file_before_defaults(tmp_path):
    file = tmp_path / "decoder.toml"
    file.write_text('model = "file"\nthreads = 3\ndrain_seconds = 1\n')
    environment = {
        "UGICM_DECODER_CONFIG": str(file),
        "UGICM_DECODER_MODEL": "environment",
        "UGICM_DECODER_THREADS": "4",
    }
    assert read(["--model", "flag"], environment) == Settings(
        model="flag", threads=4, drain_seconds=1.0
    )


def test_the_flag_for_the_file_comes_before_its_variable(tmp_path):
    for name in ("flag", "variable"):
        (tmp_path / name).write_text(f'model = "{name}"')
    environment = {"UGICM_DECODER_CONFIG": str(tmp_path / "variable")}
    assert read(["--config", str(tmp_path / "flag")], environment).model == "flag"


def test_texts_are_read_as_the_fields_types():
    environment = {
        "UGICM_DECODER_FORWARD": "True",
        "UGICM_DECODER_STORE": "/var/frames",
        "UGICM_DECODER_COLOUR": "blue",
        "UGICM_DECODER_CAMERAS": "gate,yard",
    }
    assert read((), environment) == Settings(
        forward=True, store=Path("/var/frames"), colour=Colour.BLUE, cameras=("gate", "yard")
    )


@pytest.mark.parametrize("text", ["gate,yard", " gate, yard ", "gate,,yard,"])
def test_lists_take_spaces_and_no_empty_items(text):
    assert read(["--cameras", text]).cameras == ("gate", "yard")


def test_an_empty_text_is_an_empty_list():
    assert read(["--cameras", ""]).cameras == ()


def test_a_file_may_use_the_types_of_toml(tmp_path):
    file = tmp_path / "decoder.toml"
    file.write_text('forward = true\ndrain_seconds = 0.5\ncameras = ["gate", "yard"]\n')
    assert read(["--config", str(file)]) == Settings(
        forward=True, drain_seconds=0.5, cameras=("gate", "yard")
    )


def test_other_services_variables_are_not_ours():
    assert read((), {"UGICM_ENCODER_MODEL": "theirs", "UGICM_HOME": "/"}) == Settings()


def test_every_problem_is_reported_at_once_with_its_name(tmp_path):
    file = tmp_path / "decoder.toml"
    file.write_text("thread = 3\n")
    found = problems(
        "--modle",
        "x",
        "--drain-seconds=-1",
        UGICM_DECODER_CONFIG=str(file),
        UGICM_DECODER_THREADS="no",
    )
    assert set(found) == {
        "--modle is not a setting; did you mean --model?",
        "--drain-seconds: must be at least 0, got -1",
        f"{file}: thread is not a setting; did you mean {file}: threads?",
        "UGICM_DECODER_THREADS: expected a whole number, got 'no'",
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("threads = 2.5", "threads: expected a whole number, got 2.5"),
        ("threads = true", "threads: expected a whole number, got True"),
        ("threads = 65", "threads: must be at most 64, got 65"),
        ("drain_seconds = nan", "drain_seconds: must be at least 0, got nan"),
        ("forward = 1", "forward: expected true or false, got 1"),
        ("store = 7", "store: expected a path, got 7"),
        ('colour = "green"', "colour: expected one of red, blue, got 'green'"),
        ("cameras = 3", "cameras: expected a list, got 3"),
        ("cameras = [3]", "cameras: expected a text, got 3"),
        ("[model]", "model: expected a text, got {}"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(line, expected, tmp_path):
    file = tmp_path / "decoder.toml"
    file.write_text(line)
    assert problems("--config", str(file)) == (f"{file}: {expected}",)


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "absent.toml"
    assert problems("--config", str(path)) == (f"cannot read {path}: No such file or directory",)


def test_a_file_that_is_not_toml_is_named(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("model = ")
    (problem,) = problems("--config", str(path))
    assert problem.startswith(f"{path} is not TOML: ")


def test_a_flag_without_its_value_is_named():
    assert problems("--model") == ("argument --model: expected one argument",)


def test_a_stray_argument_is_named():
    assert problems("stray") == ("unexpected argument 'stray'",)


def test_help_shows_meaning_default_and_variable(capsys):
    with pytest.raises(SystemExit):
        read(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--threads VALUE threads to run (default 2) [UGICM_DECODER_THREADS]" in text
