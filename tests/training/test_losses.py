"""The loss weighs what each view asks for, and teaches the decoder alone."""

import torch

from ugicm_training.losses import LossWeights, semantic_distance, training_loss


class Linear:
    """A teacher with weights of its own."""

    description = "linear"

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randn(3 * 8 * 8, 5, generator=generator, requires_grad=True)

    def embed(self, pictures):
        return pictures.flatten(1) @ self.weights.detach()


def pictures(seed):
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def loss(view, reconstruction, teacher=None, **weights):
    return training_loss(
        original=pictures(0),
        reconstruction=reconstruction,
        bits=torch.tensor([64.0, 128.0]),
        distortion_weight=torch.tensor([0.01, 0.02]),
        view=torch.full((2,), view),
        weights=LossWeights(**{"semantic": 3.0, "machine_distortion": 0.25} | weights),
        teacher=teacher,
    )


def test_identical_pictures_mean_the_same():
    distance = semantic_distance(Linear(), pictures(0), pictures(0))
    torch.testing.assert_close(distance, torch.zeros(2), atol=1e-6, rtol=0)


def test_gradients_reach_the_reconstruction_and_not_the_teacher():
    teacher = Linear()
    reconstruction = pictures(1).requires_grad_()
    loss(1.0, reconstruction, teacher).total.backward()
    assert reconstruction.grad.abs().sum() > 0
    assert teacher.weights.grad is None


def test_the_human_view_is_rate_and_squared_error_in_grey_levels():
    terms = loss(0.0, pictures(1), Linear())
    error = (pictures(1) - pictures(0)).square().flatten(1).mean(1)
    expected = torch.tensor([1.0, 2.0]) + torch.tensor([0.01, 0.02]) * 255**2 * error
    torch.testing.assert_close(terms.total, expected.mean())


def test_the_machine_view_keeps_a_share_of_the_error_and_adds_meaning():
    terms = loss(1.0, pictures(1), Linear())
    human = loss(0.0, pictures(1), Linear())
    distortion = human.total - human.bits_per_pixel
    expected = human.bits_per_pixel + 0.25 * distortion + 3.0 * terms.semantic
    torch.testing.assert_close(terms.total, expected)


def test_views_between_lie_between():
    human, middle, machine = (loss(v, pictures(1), Linear()).total for v in (0.0, 0.5, 1.0))
    torch.testing.assert_close(middle, (human + machine) / 2)
