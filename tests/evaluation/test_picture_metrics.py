"""Metrics of single pictures against other libraries' values of the same."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from tests.pictures import noise, scene
from ugicm_evaluation.metrics.classification import (
    agreement,
    correct,
    divergence,
    true_class_probability,
)
from ugicm_evaluation.metrics.fidelity import psnr
from ugicm_evaluation.metrics.segmentation import confusion, mean_intersection_over_union


@pytest.fixture
def answers():
    logits = torch.from_numpy(np.random.default_rng(0).normal(0.0, 2.0, (2, 20, 10)))
    return torch.log_softmax(logits, 2).numpy()


def test_psnr_is_scikit_images():
    original, other = scene(40, 56), noise(40, 56)
    assert psnr(other, original) == pytest.approx(peak_signal_noise_ratio(original, other))


def test_equal_pictures_have_100_db():
    assert psnr(scene(8, 8), scene(8, 8)) == 100.0


@pytest.mark.parametrize("within", [1, 5])
def test_a_class_is_correct_where_it_is_among_the_likeliest(answers, within):
    classes = np.arange(20) % 10
    likeliest = torch.from_numpy(answers[0]).topk(within).indices.numpy()
    expected = [float(one in row) for one, row in zip(classes, likeliest, strict=True)]
    assert correct(answers[0], classes, within=within).tolist() == expected


def test_agreement_needs_the_same_likeliest_class(answers):
    assert agreement(answers[0], answers[0]).all()
    assert not agreement(answers[0], np.roll(answers[0], 1, axis=1)).any()


def test_the_probability_is_the_true_class_own(answers):
    classes = np.full(20, 3)
    assert true_class_probability(answers[0], classes) == pytest.approx(np.exp(answers[0][:, 3]))


def test_divergence_is_pytorchs(answers):
    found, original = (torch.from_numpy(each) for each in answers)
    expected = torch.nn.functional.kl_div(found, original, log_target=True, reduction="none")
    assert divergence(*answers) == pytest.approx(expected.sum(1).numpy())


def test_a_known_confusion_has_its_known_overlap():
    truth = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], np.uint8)
    found = np.array([[0, 1, 1, 1], [0, 0, 1, 2]], np.uint8)
    table = confusion(found, truth, classes=3)
    assert table.tolist() == [[3, 1, 0], [0, 3, 1], [0, 0, 0]]
    # Background 3 of 4, the object 3 of 5; the third class is not in the truth.
    mean = mean_intersection_over_union(table[None], np.array([[1], [2]]))
    assert mean == pytest.approx([(3 / 4 + 3 / 5) / 2] * 2)
