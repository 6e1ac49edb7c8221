from __future__ import annotations

import asyncio
import json
import logging

import pytest

from ugicm_servicekit.logs import LogFormat, LogLevel, about_frame, configure_logging
from ugicm_servicekit.wire import FrameKey

log = logging.getLogger("ugicm_test")


@pytest.fixture
def configured(capsys):
    """Configure the root logger, hand out what it wrote, and restore it."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers.clear()

    def configure(log_format: LogFormat, level: LogLevel = LogLevel.INFO):
        configure_logging(level, log_format)
        return lambda: capsys.readouterr().err.splitlines()

    yield configure
    root.handlers[:], root.level = before


async def test_lines_end_with_the_frame_that_their_task_is_about(configured):
    lines = configured(LogFormat.LINES)

    async def store():
        about_frame(FrameKey("gate", 5, 7))
        log.warning("stored %d bytes", 3)

    await asyncio.create_task(store())
    log.warning("done")
    inside, outside = lines()
    assert inside.endswith("Z WARNING ugicm_test: stored 3 bytes camera=gate epoch=5 sequence=7")
    assert outside.endswith("WARNING ugicm_test: done")


async def test_json_lines_have_the_frame_as_fields(configured):
    lines = configured(LogFormat.JSON)
    about_frame(FrameKey("gate", 5, 7))
    log.info("two\nlines")
    (line,) = lines()
    fields = json.loads(line)
    assert fields.pop("time").endswith("Z")
    assert fields == {
        "level": "info",
        "logger": "ugicm_test",
        "message": "two\nlines",
        "camera": "gate",
        "epoch": 5,
        "sequence": 7,
        # Printed by: printf gate/5/7 | sha256sum | cut -c -32
        "trace_id": "3c7b5d9f978dae88860c889179af4a83",
    }


def test_json_keeps_a_traceback_in_its_line(configured):
    lines = configured(LogFormat.JSON)
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError:
        log.exception("failed")
    (line,) = lines()
    assert json.loads(line)["traceback"].endswith("ZeroDivisionError: why")


def test_lines_below_the_level_are_left_out(configured):
    lines = configured(LogFormat.LINES, LogLevel.WARNING)
    log.info("quiet")
    assert lines() == []


async def test_concurrent_tasks_keep_their_own_frames(configured):
    lines = configured(LogFormat.JSON)
    both_inside = asyncio.Barrier(2)

    async def about(sequence: int) -> None:
        about_frame(FrameKey("gate", 1, sequence))
        await both_inside.wait()
        log.info("%d", sequence)

    await asyncio.gather(about(1), about(2))
    told = [json.loads(line) for line in lines()]
    assert sorted((line["message"], line["sequence"]) for line in told) == [("1", 1), ("2", 2)]
