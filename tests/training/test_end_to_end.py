"""The command trains, is killed, goes on, exports, and the model codes both views."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torchvision.models import mobilenet_v2

from tests.pictures import scene
from tests.training.runs import INPUTS, write_photos
from ugicm_codec import Codec
from ugicm_training.checkpoints import read_checkpoint
from ugicm_training.cli import cli
from ugicm_training.commands.resume import check_same
from ugicm_training.errors import DifferentInputs
from ugicm_training.teachers.stand_in import Features, StandInRecord, stand_in_file

# What is compared to the last bit has to be summed in the same order.
THREADS = torch.get_num_threads()

OPTIONS = ("--device", "cpu", "--threads", str(THREADS), "--precision", "float32")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("set") / "photos")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Return a stand-in that was never fitted: it has the form and the cost, and no meaning."""
    torch.manual_seed(0)
    backbone = mobilenet_v2().state_dict()
    width = sum(Features(backbone, torch.device("cpu")).widths)
    data = stand_in_file(
        backbone,
        torch.randn(width, 512) / width**0.5,
        torch.zeros(512),
        StandInRecord(photos=1, held_out=0, first=0.0, five=0.0),
    )
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    path.write_bytes(data)
    return path


def run(*arguments):
    """Run the command in this process."""
    result = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def arguments_of(photos, teacher, masks, checkpoint):
    return [
        "run",
        photos,
        "--recipe=tiny",
        f"--checkpoint={checkpoint}",
        f"--teacher=stand-in:{teacher}",
        f"--masks={masks}",
        "--terms=global,local,instance",
        "--steps=backbone=24",
        *OPTIONS,
    ]


def kill_in_the_middle(arguments, checkpoint):
    """Start the command in a process of its own, and kill it once it wrote a checkpoint."""
    script = "from ugicm_training.cli import main; main()"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    try:
        while not checkpoint.exists():
            assert process.poll() is None, "the run ended before its first checkpoint"
            assert time.monotonic() < deadline, "no checkpoint within 100 seconds"
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(300)  # for machines that do something else as well
def test_a_killed_run_goes_on_to_the_same_result_and_exports(photos, teacher, tmp_path):
    masks = tmp_path / "photos.masks"
    run("masks", photos, "-o", masks)
    whole, killed = tmp_path / "whole.pt", tmp_path / "killed.pt"

    kill_in_the_middle(arguments_of(photos, teacher, masks, killed), killed)
    position = read_checkpoint(killed).position
    assert 0 < position.step < 24
    assert "finished" in run("resume", killed, *OPTIONS)

    run(*arguments_of(photos, teacher, masks, whole))
    one, other = read_checkpoint(whole), read_checkpoint(killed)
    for stage in ("backbone", "views"):
        curve = one.record["stages"][stage]["curve"]
        assert curve == other.record["stages"][stage]["curve"]
        assert len(curve) == {"backbone": 24, "views": 4}[stage]
    for name, value in one.model_state.items():
        assert torch.equal(value, other.model_state[name]), name
    assert curve[-1]["clip_global"] > 0
    assert list((tmp_path / "killed.pt.logs").iterdir())

    file = tmp_path / "model.safetensors"
    run("export", killed, photos, "-o", file)
    codec = Codec.load(str(file))
    assert codec.model.training["recipe"]["name"] == "tiny"
    human, machine = codec.decode_views(codec.encode(scene(70, 90), 100), ["human", "machine"])
    assert human.shape == machine.shape == (70, 90, 3)
    assert not np.array_equal(human, machine)

    run("pack", killed, "-o", tmp_path / "packed")
    run("unpack", tmp_path / "packed", "-o", tmp_path / "again.pt")
    assert "finished" in run("resume", tmp_path / "again.pt", *OPTIONS)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_devices_train_what_one_does(photos, teacher, tmp_path):
    """Without noise, as in a stage that codes nothing anew, only the order of sums differs."""
    states = []
    for devices in ("1", "2"):
        checkpoint = tmp_path / f"{devices}.pt"
        command = [
            *(Path(sys.executable).with_name("ugicm-train"), "run", photos, "--recipe=tiny"),
            *("--stage=views", "--steps=views=2", "--terms=global", f"--devices={devices}"),
            *(f"--teacher=stand-in:{teacher}", f"--checkpoint={checkpoint}", *OPTIONS),
        ]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        states.append(read_checkpoint(checkpoint))
    one, two = states
    assert two.record["runs"][0]["devices"] == 2
    moved = 0.0
    for name, value in one.model_state.items():
        torch.testing.assert_close(two.model_state[name], value, rtol=1e-4, atol=1e-6)
        if name.startswith("g_s.machine."):
            human = one.model_state[name.replace("g_s.machine.", "g_s.")]
            moved = max(moved, float((value - human).abs().max()))
    assert moved > 1e-4


def refusal(*arguments):
    """Return the one line of a command that refuses."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    script = "from ugicm_training.cli import main; main()"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


def test_bad_input_is_one_line(photos, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    checkpoint = tmp_path / "run.pt"
    line = refusal("run", empty, "--recipe=baseline", f"--checkpoint={checkpoint}", *OPTIONS)
    assert line == f"ugicm-train: no picture of at least 192 pixels under {empty}"
    assert not checkpoint.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe=tiny"], "stage views of recipe tiny asks a teacher"),
        (["--recipe=tiny", "--teacher=stand-in:nowhere"], "nowhere"),
        (["--recipe=tiny", "--start=nowhere"], "no bundled model and no readable file 'nowhere'"),
        (["--recipe=tiny", "--stage=late"], "recipe tiny has the stages backbone, views; got 'la"),
        (["--recipe=tiny", "--steps=views=0"], "--steps takes STAGE=N with N of at least 1"),
        (["--recipe=tiny", "--terms=nearby"], "MS-CLIP has the terms global, local, instance"),
        (["--recipe=tiny", "--lambda=0.01"], "recipe tiny has a range of qualities"),
        (["--recipe=paper", "--lambda=1"], "1.0 is not in the range 0.0018<=x<=0.0483"),
        (["--recipe=tiny", "--device=cuda:99"], "cuda:99"),
    ],
)
def test_wrong_options_are_named(photos, tmp_path, options, message):
    arguments = ["run", photos, f"--checkpoint={tmp_path / 'run.pt'}", "--threads", THREADS]
    result = CliRunner().invoke(cli, [*map(str, arguments), *options])
    assert message in (result.output if result.exit_code == 2 else str(result.exception))
    assert not (tmp_path / "run.pt").exists()


def test_a_run_does_not_overwrite_a_checkpoint(photos, tmp_path):
    (tmp_path / "run.pt").write_bytes(b"precious")
    arguments = ["run", str(photos), "--checkpoint", str(tmp_path / "run.pt")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert "`ugicm-train resume` goes on from it" in result.output
    assert (tmp_path / "run.pt").read_bytes() == b"precious"


def test_a_run_goes_on_with_more_masks_of_the_same_segmenter():
    before, more, other = (
        replace(INPUTS, masks="photos.masks", masks_description=description)
        for description in ("colour, 3 pictures", "colour, 6 pictures", "SAM, 6 pictures")
    )
    check_same(before, more, Path("run.pt"))
    with pytest.raises(DifferentInputs, match=r"run\.pt was trained with other masks: colour then"):
        check_same(before, other, Path("run.pt"))


def test_a_run_does_not_go_on_with_other_pictures(photos, tmp_path):
    checkpoint = tmp_path / "run.pt"
    run(
        *("run", photos, "--recipe=tiny", "--stage=backbone", "--minutes=0"),
        *(f"--checkpoint={checkpoint}", *OPTIONS),
    )
    other = write_photos(tmp_path / "other", 6)
    result = CliRunner().invoke(cli, ["resume", str(checkpoint), f"--photos={other}", *OPTIONS])
    assert "was trained with other pictures" in str(result.exception)
