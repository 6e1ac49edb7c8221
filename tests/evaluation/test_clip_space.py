import hashlib

import numpy as np
import pytest
import torch

from tests.pictures import scene
from ugicm_evaluation.judges.clip_space import ClipSpace, weights_file
from ugicm_training.errors import TrainingError
from ugicm_training.teachers.stand_in import StandIn


def distance(one, other):
    return np.linalg.norm(one.astype(np.float64) - other)


def test_the_judge_answers_with_the_teachers_own_vector(teacher_file):
    picture = scene(224, 224)
    teacher = StandIn.load(teacher_file, torch.device("cpu"))
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255.0
    judge = ClipSpace(f"stand-in:{teacher_file}")
    expected = teacher.embed(pixels)[0].numpy()
    assert distance(judge.look(picture), expected) < 1e-4 * np.linalg.norm(expected)
    assert judge.weights_hash == hashlib.sha256(teacher_file.read_bytes()).hexdigest()


def test_pictures_of_any_size_are_seen_whole(teacher_file):
    judge = ClipSpace(f"stand-in:{teacher_file}")
    wide = scene(60, 200)
    changed = wide.copy()
    changed[:, -20:] = 0
    assert judge.look(wide).shape == (512,)
    before, after = judge.look(wide), judge.look(changed)
    assert distance(before, after) > 1e-2 * np.linalg.norm(before)


@pytest.mark.parametrize("specification", ["stand-in:absent.safetensors", "oracle"])
def test_a_teacher_that_is_none_is_refused(specification):
    with pytest.raises(TrainingError):
        ClipSpace(specification)


def test_the_file_of_a_specification_is_found(tmp_path):
    path = tmp_path / "clip.safetensors"
    path.write_bytes(b"")
    for specification in (
        f"stand-in:{path}",
        f"open_clip:ViT-B-32:{path}",
        f"open_clip:ViT-B-32:openai={path}",
    ):
        assert weights_file(specification) == path
    assert weights_file("open_clip:ViT-B-32:openai") is None
