"""What each picture of a step is trained for follows from the stage, the seed and the step."""

from dataclasses import replace

import pytest
import torch

from ugicm_training.plan import draw_plan
from ugicm_training.recipes import LossWeights, Schedule, Session, Views, default, paper, tiny

STAGE = replace(default().stages[0], batch=12)


def plan(stage, step=0, epoch_steps=8, seed=1):
    return draw_plan(
        stage,
        seed=seed,
        lambda_of=lambda quality: 0.01 * (1 + quality),
        index=0,
        step=step,
        epoch_steps=epoch_steps,
    )


def of(views, **weights):
    return replace(STAGE, sessions=(Session(views=views, weights=LossWeights(**weights)),))


@pytest.mark.parametrize(
    ("views", "counts"),
    [
        (Views.HUMAN, (12, 0, 0)),
        (Views.MACHINE, (0, 12, 0)),
        (Views.ENDS, (6, 6, 0)),
        (Views.BETWEEN, (0, 0, 12)),
        (Views.ALL, (4, 4, 4)),
    ],
)
def test_a_batch_has_its_share_of_each_view(views, counts):
    view = plan(of(views)).view
    between = ((view > 0) & (view < 1)).sum()
    assert ((view == 0).sum(), (view == 1).sum(), between) == counts


def test_views_between_cover_the_whole_range():
    drawn = torch.stack([plan(of(Views.BETWEEN), step).view[0] for step in range(200)])
    assert torch.histc(drawn, 4, 0, 1).min() > 30


def test_every_batch_covers_the_range_of_qualities():
    quality = plan(STAGE).quality
    assert torch.equal((quality * 12).floor(), torch.arange(12.0))


def test_views_do_not_go_with_qualities():
    plans = [plan(of(Views.ENDS), step) for step in range(100)]
    quality = torch.cat([each.quality for each in plans])
    view = torch.cat([each.view for each in plans])
    assert torch.corrcoef(torch.stack([quality, view]))[0, 1].abs() < 0.1


def test_a_stage_of_one_lambda_draws_one_quality():
    assert plan(paper(0.0067).stages[0]).quality.unique().tolist() == [0.0]


def test_weights_follow_the_view():
    drawn = plan(of(Views.ALL, machine_distortion=0.25, semantic=4.0))
    lambdas = 0.01 * (1 + drawn.quality)
    torch.testing.assert_close(drawn.distortion, lambdas * (1 - 0.75 * drawn.view))
    torch.testing.assert_close(drawn.semantic, 4.0 * drawn.view)
    assert torch.equal(drawn.asking, drawn.view.nonzero()[:, 0])


def test_one_weight_of_the_squared_error_counts_at_every_quality():
    drawn = plan(of(Views.MACHINE, distortion=0.001, machine_distortion=0.5))
    torch.testing.assert_close(drawn.distortion, torch.full((12,), 0.0005))


def test_mixed_sessions_share_every_batch():
    human = Session(Views.HUMAN, LossWeights(rate=1.0))
    machine = Session(Views.MACHINE, LossWeights(rate=0.0, semantic=1.0))
    drawn = plan(replace(STAGE, sessions=(human, machine)))
    assert drawn.view.sum() == 6
    assert torch.equal(drawn.rate, 1.0 - drawn.view)


def test_alternating_sessions_halve_every_epoch():
    stage = paper().stages[0]
    views = [plan(stage, step, epoch_steps=6).view[0].item() for step in range(12)]
    assert views == [0, 0, 0, 1, 1, 1] * 2


def test_an_epoch_shorter_than_its_sessions_still_has_them_all():
    stage = paper().stages[0]
    assert stage.schedule is Schedule.ALTERNATING
    assert [plan(stage, step, epoch_steps=1).view[0].item() for step in range(4)] == [0, 1, 0, 1]


def test_the_same_seed_and_step_draw_the_same_plan():
    stage = tiny().stages[1]
    first, again, next_step = plan(stage, 7), plan(stage, 7), plan(stage, 8)
    assert torch.equal(first.quality, again.quality)
    assert torch.equal(first.view, again.view)
    assert not torch.equal(first.quality, next_step.quality)
    assert not torch.equal(first.quality, plan(stage, 7, seed=2).quality)


def test_devices_share_the_plan_of_one_batch():
    whole = plan(of(Views.ALL, semantic=1.0))
    parts = [whole.part(rank, 3) for rank in range(3)]
    assert torch.equal(torch.stack([part.view for part in parts], 1).flatten(), whole.view)
    for part in parts:
        assert torch.equal(part.asking, part.semantic.nonzero()[:, 0])
