"""The gate lets through what moves, and not what only flickers."""

import numpy as np
import pytest

from tests.client.harness import flat
from tests.client.test_sources import write_video
from ugicm_client.motion import MotionGate
from ugicm_client.sources import Skipped, read_endlessly, read_source


def gate(share=0.001, key_seconds=1000.0):
    return MotionGate(share=share, key_seconds=key_seconds)


def street(*, person_at=None):
    """Return a noisy picture; a person is 24 pixels wide and 60 high."""
    noise = np.random.default_rng(person_at or 0).normal(0, 6, (480, 640, 3))
    image = np.full((480, 640, 3), 110.0)
    if person_at is not None:
        image[300:360, person_at : person_at + 24] = 60
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_the_first_picture_passes_and_the_same_again_does_not():
    motion = gate()
    assert motion.passes(flat(9), 0.0)
    assert not motion.passes(flat(9), 1.0)


def test_somebody_far_away_moves_and_noise_does_not():
    motion = gate()
    seen = [motion.passes(street(person_at=at), None) for at in (100, None, None, 300, 301)]
    assert seen == [True, True, False, True, False]


def test_a_share_is_of_the_picture():
    half = flat(0, 64, 64)
    half[:, :32] = 255
    for share, passes in ((0.5, True), (0.51, False)):
        motion = gate(share)
        motion.passes(flat(0, 64, 64), None)
        assert motion.passes(half, None) is passes


def test_slow_changes_add_up():
    motion = gate()
    passed = [level for level in range(0, 30, 3) if motion.passes(flat(level), None)]
    assert passed == [0, 9, 18, 27]


def test_a_picture_passes_in_time_though_nothing_moves():
    motion = gate(key_seconds=10)
    assert [second for second in range(25) if motion.passes(flat(9), float(second))] == [0, 10, 20]


def test_a_source_without_time_has_no_such_pictures():
    motion = gate(key_seconds=1e-9)
    assert [motion.passes(flat(9), None) for _ in range(3)] == [True, False, False]


def test_another_size_passes():
    motion = gate()
    assert motion.passes(flat(9, 64, 64), None)
    assert motion.passes(flat(9, 64, 128), None)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1)])
def test_any_shape_is_compared(shape):
    motion = gate()
    seen = [motion.passes(flat(level, *shape), None) for level in (0, 0, 255)]
    assert seen == [True, False, True]


LEVELS = [10, 10, 200, 200, 200, 10]
PASSING = [0, 2, 5]


@pytest.fixture
def video(tmp_path):
    write_video(tmp_path / "v.mkv", [flat(level, 16, 32) for level in LEVELS])
    return tmp_path / "v.mkv"


def numbers(frames):
    return [int(frame.name.rpartition("-")[2]) for frame in frames]


def test_the_same_frames_of_a_video_pass_wherever_reading_goes_on(video):
    for at in range(len(LEVELS)):
        skipped = Skipped()
        after = f"v-{at:06d}"
        frames = numbers(read_source(video, gate=gate(), after=after, skipped=skipped))
        assert frames == [number for number in PASSING if number > at]
        assert skipped.unchanged == len(LEVELS) - 1 - at - len(frames)


def test_every_round_of_an_endless_source_passes_the_same(video):
    frames = read_endlessly(video, gate=gate())
    assert numbers(next(frames) for _ in range(6)) == PASSING * 2


def test_a_video_has_a_picture_in_time_by_its_own_clock(video):
    assert numbers(read_source(video, gate=gate(key_seconds=0.15))) == [0, 2, 4, 5]
