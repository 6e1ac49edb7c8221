"""The toy study: pictures that move to where a teacher sees the original."""

import numpy as np
import pytest
import torch

from tests.codec.conftest import TINY
from tests.pictures import scene
from ugicm_evaluation.codecs.model import ModelCodec
from ugicm_evaluation.codecs.opening import open_codec
from ugicm_evaluation.codecs.protocol import RefiningCodec
from ugicm_evaluation.codecs.updated import update
from ugicm_evaluation.config import Updated
from ugicm_training.teachers.protocol import Interpolation


class Teacher:
    """Sees the colours of all pixels."""

    description = "colours"
    side = 8
    mean_colour = (0.5, 0.5, 0.5)
    interpolation = Interpolation.BILINEAR

    def embed(self, pictures):
        return torch.flatten(pictures, 1) - 0.5


def cosine(one, other):
    first, second = (np.asarray(each, np.float64).ravel() - 127.5 for each in (one, other))
    return first @ second / np.linalg.norm(first) / np.linalg.norm(second)


@pytest.fixture
def original():
    return scene(8, 8)


@pytest.fixture
def decoded(original):
    return np.clip(original.astype(int) + scene(8, 8, 5) // 8 - 16, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("delta", [1, 2, 8])
def test_an_update_moves_towards_the_original_and_no_further_than_delta(original, decoded, delta):
    updated = update(decoded, original, Teacher(), delta=delta, step_levels=1.0, steps=10)
    moved = np.abs(updated.astype(int) - decoded)
    assert moved.max() == delta
    assert cosine(updated, original) > cosine(decoded, original)


def test_a_larger_delta_lets_the_teacher_see_more(original, decoded):
    seen = [
        cosine(
            update(decoded, original, Teacher(), delta=delta, step_levels=0.25, steps=32), original
        )
        for delta in (1, 2, 8)
    ]
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]


def test_steps_are_as_long_as_they_say(original, decoded):
    updated = update(decoded, original, Teacher(), delta=8, step_levels=1.0, steps=3)
    assert np.abs(updated.astype(int) - decoded).max() == 3


def test_the_streams_are_the_models_own_and_pictures_move_by_at_most_delta(teacher_file):
    teacher = f"stand-in:{teacher_file}"
    config = Updated(
        name="u",
        model=str(TINY),
        qualities=(50,),
        teacher=teacher,
        delta=2,
        steps=2,
        step_levels=1.0,
    )
    codec, plain = open_codec(config), ModelCodec(str(TINY))
    assert isinstance(codec, RefiningCodec)
    picture = scene(48, 64)
    stream = codec.encode(picture, 50)
    assert stream == plain.encode(picture, 50)
    (decoded,) = plain.decode(stream, (0.0,))
    (refined,) = codec.refine(codec.decode(stream, (0.0,)), picture)
    moved = np.abs(refined.astype(int) - decoded)
    assert 0 < moved.max() <= 2
    assert plain.identity in codec.identity
    assert codec.identity != plain.identity
