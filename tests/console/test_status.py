"""Every error that a request can end with has an answer."""

from __future__ import annotations

import grpc
import pytest

from ugicm_client.errors import PictureTooLarge, UnreadablePicture
from ugicm_codec.errors import CodecError
from ugicm_console.errors import ConsoleError, ForgedRequest, SessionExpired
from ugicm_console.status import CONSOLE_STATUS, HTTP_STATUS, told
from ugicm_servicekit.errors import BadAnswer, CallError, Overloaded
from ugicm_servicekit.status import leaves


def test_every_error_a_request_can_end_with_has_a_status():
    ours = leaves(ConsoleError) | {BadAnswer, PictureTooLarge, UnreadablePicture}
    assert set(CONSOLE_STATUS) == ours | leaves(CallError) | leaves(CodecError)


def test_every_status_has_an_answer():
    assert set(CONSOLE_STATUS.values()) | {grpc.StatusCode.INTERNAL} == set(HTTP_STATUS)


def test_the_page_can_tell_a_session_that_ended_and_a_forged_request():
    assert told(SessionExpired("over"), route="GET /")[1]["code"] == "session_expired"
    assert told(ForgedRequest("no"), route="GET /")[1]["code"] == "csrf"


def test_who_may_come_back_is_told_when():
    status, words = told(Overloaded("busy", retry_after_seconds=1.5), route="GET /")
    assert (status, words["retry_after_seconds"]) == (429, 1.5)


@pytest.mark.filterwarnings("ignore")
def test_a_mistake_of_ours_is_told_in_the_log_only(caplog):
    status, words = told(KeyError("secret detail"), route="GET /")
    assert (status, words["message"]) == (500, "internal error")
    assert "secret detail" in caplog.text
