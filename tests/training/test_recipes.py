"""Recipes say what the paper, its code and the shipped models do, and survive a checkpoint."""

import pytest

from ugicm_training.checkpoints import recipe_as_json, recipe_from_json
from ugicm_training.ms_clip import Term
from ugicm_training.recipes import (
    RECIPES,
    Schedule,
    Trained,
    Unit,
    Views,
    default,
    paper,
    published,
    retrofit,
)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_the_same_after_a_checkpoint(name):
    recipe = RECIPES[name]()
    assert recipe_from_json(recipe_as_json(recipe)) == recipe


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_crops_fit_into_the_smallest_pictures(name):
    recipe = RECIPES[name]()
    assert all(stage.crop <= recipe.minimum_side for stage in recipe.stages)
    assert all(stage.crop % 64 == 0 for stage in recipe.stages)


def test_the_paper_alternates_views_and_then_freezes_the_encoder():
    first, second = paper(0.0067).stages
    assert (first.length.count, first.length.unit, first.first_rate) == (200, Unit.EPOCHS, 1e-4)
    assert (second.length.count, second.length.unit, second.first_rate) == (10, Unit.EPOCHS, 1e-5)
    assert (first.trained, second.trained) == (Trained.EVERYTHING, Trained.SYNTHESIS)
    for stage in (first, second):
        assert stage.schedule is Schedule.ALTERNATING
        assert [each.views for each in stage.sessions] == [Views.HUMAN, Views.MACHINE]
        assert set(stage.terms) == set(Term)
        assert stage.instances.most > 100  # Eq. 4 sums over all of them
    # S1-2 keeps the squared error, S2-2 is MS-CLIP alone.
    assert first.sessions[1].weights.machine_distortion == 1.0
    assert second.sessions[1].weights.machine_distortion == 0.0


def test_the_papers_meaning_goes_with_lambda():
    for lambda_ in (0.0018, 0.0483):
        weights = paper(lambda_).stages[0].sessions[1].weights
        assert weights.semantic == pytest.approx(1000 * lambda_)


def test_the_published_code_mixes_views_in_one_batch():
    first, second = published().stages
    assert [each.views for each in first.sessions] == [Views.ENDS]
    assert first.sessions[0].weights.semantic == pytest.approx(2.2)
    assert second.sessions[0].weights.distortion == 0.001
    assert (first.batch, second.batch) == (128, 128)
    assert Term.LOCAL not in {*first.terms, *second.terms}


def test_a_baseline_takes_the_same_steps_for_the_human_view_alone():
    recipe, plain = default(), RECIPES["baseline"]()
    for stage, same in zip(recipe.stages, plain.stages, strict=True):
        assert (same.length, same.batch, same.crop) == (stage.length, stage.batch, stage.crop)
        assert not same.trains_views
        assert not same.is_semantic


def test_a_retrofit_leaves_encoder_and_entropy_model_alone():
    assert all(stage.trained is not Trained.EVERYTHING for stage in retrofit().stages)
