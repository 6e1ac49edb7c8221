"""Frames of one call that are on their way behind one that is to come again."""

from __future__ import annotations

import pytest

from tests.encoder.harness import key
from ugicm.v1.types_pb2 import FrameKey
from ugicm_encoder.overtaking import Overtaking
from ugicm_servicekit.errors import Overloaded


def test_later_frames_wait_until_the_refused_one_comes_again():
    overtaking = Overtaking()
    overtaking.refuse(key(5))
    for later in (6, 7):
        with pytest.raises(Overloaded, match="frame 5 of camera gate was refused") as caught:
            overtaking.check(key(later))
        assert caught.value.retry_after_seconds == 1.0
        overtaking.refuse(key(later))
    for again in (5, 6, 7):
        overtaking.check(key(again))


def test_earlier_frames_and_other_cameras_do_not_wait():
    overtaking = Overtaking()
    overtaking.refuse(key(5))
    overtaking.check(key(6, camera="yard"))
    overtaking.check(key(4))


def test_a_call_with_ever_new_epochs_is_not_remembered_whole():
    overtaking = Overtaking()
    for epoch in range(100):
        overtaking.refuse(FrameKey(camera="gate", epoch=epoch, sequence=5))
    overtaking.check(FrameKey(camera="gate", epoch=0, sequence=6))
    with pytest.raises(Overloaded):
        overtaking.check(FrameKey(camera="gate", epoch=99, sequence=6))


def test_a_camera_that_goes_on_with_newer_frames_is_let_in_behind_those_on_their_way():
    overtaking = Overtaking()
    overtaking.refuse(key(5))
    for later in range(6, 70):
        with pytest.raises(Overloaded):
            overtaking.check(key(later))
    overtaking.check(key(70))
    overtaking.check(key(71))
