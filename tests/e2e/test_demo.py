"""The demo as a user runs it: real processes, real pictures, and nothing left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from ugicm_client.demo.system import own_services
from ugicm_client.pictures import read_picture
from ugicm_codec import Codec, inspect

pytestmark = pytest.mark.slow

MARK = "UGICM_TEST_MARK"
DEMO = (sys.executable, "-m", "ugicm_client", "demo")
NUM_PROCESSES = 4  # the command and three services


@pytest.fixture
def mark(monkeypatch, tmp_path):
    """Something that every process which a test starts has in its environment."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return value


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    row, column = np.mgrid[0:64, 0:80].astype(np.uint8)
    Image.fromarray(np.dstack([row * 3, column * 3, row + column])).save(folder / "slope.png")
    Image.fromarray(np.dstack([column * 3, row * 3, row])).save(folder / "other.bmp")
    return folder


def marked_processes(mark):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it has ended, or belongs to somebody else
    return found


def wait_until(condition, *, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def run_demo(*arguments, code=0):
    done = subprocess.run([*DEMO, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def test_photos_go_all_the_way_but_for_a_bad_one_and_no_process_stays_behind(
    photos, tmp_path, mark
):
    out = tmp_path / "out"
    (photos / "bad.png").write_bytes(b"bad")
    done = run_demo("--photos", photos, "--out", out, "--quality", 30, code=1)

    assert marked_processes(mark) == []
    assert "slope" in done.stdout
    assert done.stderr == f"ugicm: {photos / 'bad.png'}: not a picture of a known kind\n"
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == [
        "contact-sheet.png",
        "human/other.png",
        "human/slope.png",
        "logs/analytics.log",
        "logs/decoder.log",
        "logs/encoder.log",
        "machine/other.png",
        "machine/slope.png",
        "streams/other.ugi",
        "streams/slope.ugi",
    ]
    assert read_picture(out / "contact-sheet.png").shape[1] > 1000
    codec = Codec.load()
    for name, suffix in (("slope", ".png"), ("other", ".bmp")):
        stream = (out / "streams" / f"{name}.ugi").read_bytes()
        assert stream == codec.encode(read_picture(photos / f"{name}{suffix}"), 30)
        assert inspect(stream).num_bytes == len(stream)
        for folder, view in (("human", 0.0), ("machine", 1.0)):
            image = read_picture(out / folder / f"{name}.png")
            np.testing.assert_array_equal(image, codec.decode(stream, view))


def test_the_bundled_photos_show_three_faces(tmp_path, mark):
    done = run_demo("--out", tmp_path, "--json")
    found = {
        record["name"]: record["found"] for record in map(json.loads, done.stdout.splitlines())
    }
    assert [found[name].get("face") for name in ("astronaut", "grace_hopper", "luispedro")] == [
        1
    ] * 3
    assert marked_processes(mark) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_however_the_demo_is_ended_its_services_end_too(photos, tmp_path, mark, number, code):
    demo = subprocess.Popen(
        [*DEMO, "--photos", photos, "--out", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: len(marked_processes(mark)) == NUM_PROCESSES or demo.poll() is not None)
    demo.send_signal(number)
    err = demo.communicate(timeout=60)[1]
    assert demo.returncode == code
    assert "Traceback" not in err
    wait_until(lambda: marked_processes(mark) == [])
    # Only what can be caught can be cleaned up after.
    assert bool(list(tmp_path.glob("ugicm-demo-*"))) == (number == signal.SIGKILL)


def test_the_console_shows_what_the_demo_stored_until_ctrl_c(photos, tmp_path, mark):
    out = tmp_path / "out"
    demo = subprocess.Popen(
        [*DEMO, "--console", "--photos", photos, "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in demo.stdout:
        if line.startswith("the console is at "):
            break
    with httpx.Client(base_url=line.split()[4], timeout=60) as browser:
        browser.get("/api/session")
        (camera,) = browser.get("/api/cameras").json()["cameras"]
        assert (camera["name"], camera["num_frames"]) == ("demo", 2)
        # A service that takes long to tell its figures is shown without.
        wait_until(lambda: stores_of(browser) == {"decoder", "analytics"})
    demo.send_signal(signal.SIGINT)
    err = demo.communicate(timeout=60)[1]
    assert (demo.returncode, err) == (0, "")
    assert marked_processes(mark) == []


def stores_of(browser):
    """Return which services tell of a store."""
    return {
        one["name"]
        for one in browser.get("/api/status").json()["services"]
        if any(figure["group"] == "stores" for figure in one["figures"])
    }


async def test_the_demo_goes_through_services_that_run_already_and_leaves_them(
    photos, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    # Unlike the demo's own: it waits until a frame comes out of it.
    monkeypatch.setenv("UGICM_ENCODER_SPOOL", str(tmp_path / "spool"))
    async with own_services(tmp_path) as services:
        addresses = services.addresses
        at = (addresses.encoder, addresses.decoder, addresses.analytics)
        await asyncio.to_thread(run_demo, "--services", *at, "--photos", photos, "--out", out)
        await asyncio.gather(
            *(each.until_serving() for each in (services.decoder, services.encoder))
        )
    assert sorted(path.name for path in out.iterdir()) == [
        "contact-sheet.png",
        "human",
        "machine",
        "streams",
    ]


def test_a_console_over_services_of_others_is_for_another_command(tmp_path):
    at = ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
    done = run_demo("--services", *at, "--console", "--out", tmp_path / "out", code=2)
    assert "leave out --services" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_service_that_cannot_start_ends_the_demo_with_one_line(photos, tmp_path, mark):
    environment = {**os.environ, "UGICM_ANALYTICS_ANALYZERS": "nonesuch"}
    command = [*DEMO, "--photos", photos, "--out", tmp_path / "out"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("ugicm: the analytics ended (2) at its start: ")
    assert "nonesuch" in done.stderr
    assert done.stderr.count("\n") == 1
    assert marked_processes(mark) == []
