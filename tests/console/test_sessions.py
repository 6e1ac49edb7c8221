"""Sessions end: by time, by others, and by their tokens."""

from __future__ import annotations

import pytest

from tests.security.credentials import Tokens
from ugicm.v1 import decoder_pb2, encoder_pb2
from ugicm_console.errors import ForgedRequest, SessionExpired
from ugicm_console.sessions import Sessions
from ugicm_servicekit.errors import NotPermitted
from ugicm_servicekit.roles import Role
from ugicm_servicekit.tokens import TokenFile


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ended():
    return []


@pytest.fixture
def sessions(clock, ended):
    return Sessions(
        None,
        lifetime_seconds=100,
        idle_seconds=10,
        max_sessions=3,
        ended=ended.append,
        clock=clock,
    )


def is_over(sessions, session):
    try:
        sessions.find(session.name)
    except SessionExpired:
        return True
    return False


def test_a_session_that_is_not_used_ends(sessions, clock, ended):
    session = sessions.begin()
    clock.now = 9.9
    assert not is_over(sessions, session)
    clock.now = 9.9 + 10
    assert is_over(sessions, session)
    assert ended == [session]


def test_a_session_that_is_used_all_the_time_ends_too(sessions, clock):
    session = sessions.begin()
    for clock.now in range(5, 100, 5):
        assert not is_over(sessions, session)
    assert sessions.remaining_seconds(session) == 5
    clock.now = 100
    assert is_over(sessions, session)


def test_one_session_too_many_ends_the_one_that_was_idle_longest(sessions, ended):
    first, second, third = (sessions.begin() for _ in range(3))
    sessions.find(first.name)
    sessions.begin()
    assert ended == [second]
    assert not is_over(sessions, first)
    assert not is_over(sessions, third)


def test_sessions_that_nobody_comes_back_to_take_no_memory(sessions, clock, ended):
    left = [sessions.begin(), sessions.begin()]
    clock.now = 10
    sessions.begin()
    assert ended == left


@pytest.mark.parametrize("name", [None, "", "guess"])
def test_no_other_name_finds_a_session(sessions, name):
    sessions.begin()
    with pytest.raises(SessionExpired):
        sessions.find(name)


def test_only_the_sessions_own_token_passes(sessions):
    session, other = sessions.begin(), sessions.begin()
    session.check_csrf(session.csrf)
    for presented in (None, "", other.csrf, session.csrf[:-1]):
        with pytest.raises(ForgedRequest):
            session.check_csrf(presented)


def test_a_role_is_held_to_its_rules_also_where_the_services_ask_for_no_tokens(tmp_path):
    tokens = Tokens(tmp_path / "tokens.toml")
    secret = tokens.add(Role.OPERATOR)
    sessions = Sessions(
        TokenFile(tokens.path), lifetime_seconds=100, idle_seconds=10, max_sessions=3
    )
    session = sessions.sign_in(secret)
    session.check("/ugicm.v1.DecoderService/ListCameras", decoder_pb2.ListCamerasRequest())
    with pytest.raises(NotPermitted, match="operator operator may not call Encode"):
        session.check("/ugicm.v1.EncoderService/Encode", encoder_pb2.EncodeRequest())
    with pytest.raises(SessionExpired, match="sign in"):
        sessions.begin()
