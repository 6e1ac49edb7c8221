from __future__ import annotations

import json
import logging
import sys

import pytest

from ugicm_servicekit.logs import LogFormat, LogLevel, configure_logging
from ugicm_servicekit.redaction import redact

TOKEN = "ugicm_" + "Ab1-_xYz" * 5 + "Cd2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"token {TOKEN}.", "token ugicm_***."),
        (f"authorization: Bearer {TOKEN}", "authorization: Bearer ***"),
        ("Authorization: bearer abc.def", "Authorization: bearer ***"),
        ("rtsp://admin:pass@10.0.0.7:554/1", "rtsp://admin:***@10.0.0.7:554/1"),
        ("rtsp://admin:p@ss:w@10.0.0.7/1", "rtsp://admin:***@10.0.0.7/1"),
        ("rtsp://:pass@10.0.0.7", "rtsp://:***@10.0.0.7"),
        ("two rtsp://a:b@c/ https://d:e@f/", "two rtsp://a:***@c/ https://d:***@f/"),
        ("rtsp://10.0.0.7:554/stream", "rtsp://10.0.0.7:554/stream"),
        ("mail somebody@example", "mail somebody@example"),
        ("ugicm_decoder and ugicm_servicekit", "ugicm_decoder and ugicm_servicekit"),
    ],
)
def test_secrets_are_struck_out_and_nothing_else(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize("log_format", LogFormat)
def test_no_line_of_the_log_has_a_secret(log_format, capsys):
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers.clear()
    try:
        configure_logging(LogLevel.INFO, log_format)
        try:
            raise ValueError(f"cannot open rtsp://admin:hunter2@10.0.0.7/ with {TOKEN}")
        except ValueError:
            logging.getLogger("test").exception("for %s at %s", TOKEN, "rtsp://a:hunter2@b/")
    finally:
        root.handlers[:], root.level = before
    text = capsys.readouterr().err
    assert "hunter2" not in text
    assert TOKEN not in text
    assert text.count("rtsp://") == 3
    if log_format is LogFormat.JSON:
        assert json.loads(text)["traceback"].count("***") == 3
    assert sys.exc_info() == (None, None, None)
