"""The branches that are compared differ in what is compared, and in nothing else."""

from dataclasses import replace

import pytest

from ugicm_training.recipes import Views
from ugicm_training.recipes.proxy import proxy_any_quality, proxy_fixed_rate, proxy_start


@pytest.mark.parametrize("quality", [0.0, 0.5, 1.0])
def test_a_fixed_rate_branch_has_the_other_s_steps_pictures_and_rates(quality):
    one, fixed = proxy_any_quality(), proxy_fixed_rate(quality)
    assert replace(fixed, name=one.name, stages=one.stages) == one
    for ours, theirs in zip(one.stages, fixed.stages, strict=True):
        assert replace(theirs, qualities=ours.qualities, sessions=ours.sessions) == ours


def test_one_branch_trains_all_qualities_and_views_the_other_one_and_two():
    one, fixed = proxy_any_quality(), proxy_fixed_rate(0.5)
    assert {stage.qualities for stage in one.stages} == {(0.0, 1.0)}
    assert {stage.qualities for stage in fixed.stages} == {(0.5, 0.5)}
    views = [{session.views for stage in each.stages for session in stage.sessions}
             for each in (one, fixed)]  # fmt: skip
    assert views == [{Views.HUMAN, Views.MACHINE, Views.BETWEEN}, {Views.HUMAN, Views.MACHINE}]


def test_both_begin_with_a_model_of_their_sizes():
    start = proxy_start()
    assert start.config == proxy_any_quality().config == proxy_fixed_rate(1.0).config
    assert start.lambdas == proxy_fixed_rate(0.0).lambdas
    assert [stage.qualities for stage in start.stages] == [(0.0, 1.0)]
