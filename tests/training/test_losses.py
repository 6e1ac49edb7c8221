"""The loss weighs what each picture's plan asks for."""

import torch

from tests.training.teachers import Linear
from ugicm_training.losses import training_loss
from ugicm_training.ms_clip import MsClip, Term
from ugicm_training.plan import Plan


def pictures(seed):
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def loss(reconstruction, *, semantic=(0.0, 0.0, 0.0), ms_clip=True):
    plan = Plan.of(
        quality=torch.zeros(3),
        view=torch.tensor([0.0, 0.5, 1.0]),
        rate=torch.tensor([1.0, 0.5, 0.0]),
        distortion=torch.tensor([0.01, 0.02, 0.03]),
        semantic=torch.tensor(semantic),
    )
    return training_loss(
        original=pictures(0),
        reconstruction=reconstruction,
        bits=torch.tensor([64.0, 128.0, 256.0]),
        plan=plan,
        ms_clip=MsClip(Linear(), terms=[Term.GLOBAL]) if ms_clip else None,
        instances=None,
        generator=torch.Generator().manual_seed(0),
    )


def test_rate_and_squared_error_in_grey_levels_count_as_planned():
    error = 255.0**2 * (pictures(1) - pictures(0)).square().flatten(1).mean(1)
    expected = torch.tensor([1.0, 1.0, 0.0]) + torch.tensor([0.01, 0.02, 0.03]) * error
    torch.testing.assert_close(loss(pictures(1)).total, expected.mean())


def test_meaning_counts_where_it_is_asked_for():
    plain = loss(pictures(1))
    weighed = loss(pictures(1), semantic=(0.0, 2.0, 4.0))
    second, third = weighed.semantic.global_
    torch.testing.assert_close(weighed.total - plain.total, (2.0 * second + 4.0 * third) / 3)


def test_no_teacher_is_asked_for_the_human_view():
    assert loss(pictures(1)).semantic is None
    assert loss(pictures(1), ms_clip=False).semantic is None


def test_pictures_that_ask_for_no_meaning_get_no_gradient_from_it():
    reconstruction = pictures(0).clone().requires_grad_()
    bent = reconstruction + 0.1 * pictures(1)
    loss(bent, semantic=(0.0, 0.0, 9.0)).total.backward()
    with_meaning = reconstruction.grad.clone()
    reconstruction.grad = None
    loss(reconstruction + 0.1 * pictures(1)).total.backward()
    assert torch.equal(with_meaning[:2], reconstruction.grad[:2])
    assert not torch.equal(with_meaning[2], reconstruction.grad[2])
