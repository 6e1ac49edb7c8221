"""A run goes on exactly, stops when it is told to, and changes what its stages say."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.pictures import scene
from tests.training.runs import INPUTS, Brightness, short, trainer, write_photos
from ugicm_codec import Codec
from ugicm_training.checkpoints import Position, read_checkpoint
from ugicm_training.data import load_photos
from ugicm_training.errors import BadCheckpoint, Diverged, MissingMasks, MissingWeights
from ugicm_training.export import calibration_crops, export_model
from ugicm_training.ms_clip import Term
from ugicm_training.recipes import (
    Length,
    LossWeights,
    Schedule,
    Session,
    Trained,
    Unit,
    Views,
    baseline,
    published,
)
from ugicm_training.starting import first_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("set") / "photos")


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """Return the path of a whole tiny run's checkpoint."""
    path = tmp_path_factory.mktemp("whole") / "run.pt"
    run = trainer(path, folder)
    run.run()
    assert run.finished
    return path


def curves(checkpoint):
    return {name: stage["curve"] for name, stage in checkpoint.record["stages"].items()}


def assert_same(one, other):
    assert curves(one) == curves(other)
    assert one.model_state.keys() == other.model_state.keys()
    for name, value in one.model_state.items():
        assert torch.equal(value, other.model_state[name]), name


def stage_of(recipe, **changes):
    """Return a recipe of its first stage alone, changed."""
    return replace(recipe, stages=(replace(recipe.stages[0], **changes),))


# A second passes at every look at the clock: runs stop inside either stage, and between them.
@pytest.mark.parametrize("seconds", [9, 26, 34])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(folder, whole, tmp_path, seconds):
    path = tmp_path / "run.pt"
    ticks = itertools.count()
    stopped = trainer(path, folder, seconds=seconds, clock=lambda: float(next(ticks)))
    stopped.run()
    assert not stopped.finished
    assert read_checkpoint(path).position != Position(0, 0)
    resumed = trainer(path, folder, start=read_checkpoint(path))
    resumed.run()
    assert resumed.finished
    assert_same(read_checkpoint(path), read_checkpoint(whole))


def test_time_that_is_up_stops_a_run_with_a_checkpoint(folder, tmp_path):
    run = trainer(tmp_path / "run.pt", folder, seconds=0.0)
    run.run()
    assert not run.finished
    assert read_checkpoint(tmp_path / "run.pt").position == Position(0, 0)


def test_a_run_that_is_told_to_stop_ends_with_a_checkpoint(folder, tmp_path):
    run = trainer(tmp_path / "run.pt", folder)
    run.stop()
    run.run()
    assert not run.finished
    assert (tmp_path / "run.pt").exists()


def test_the_record_says_what_was_trained_and_how(whole):
    record = read_checkpoint(whole).record
    assert record["recipe"]["name"] == "tiny"
    assert record["teacher"] == "mean colour"
    assert record["data"] == {"training": 4, "held_out": 1, "digest": INPUTS.digest}
    assert [run["precision"] for run in record["runs"]] == ["float32"]
    assert {name: stage["steps"] for name, stage in record["stages"].items()} == {
        "backbone": 6,
        "views": 4,
    }
    first, *_, last = record["stages"]["views"]["curve"]
    assert (first["step"], last["step"]) == (1, 4)
    assert last["clip_global"] > 0


def exported(checkpoint, folder):
    return export_model(
        checkpoint.model(),
        calibration=calibration_crops(load_photos(folder, minimum_side=64)),
        quality_steps=checkpoint.recipe.quality_steps,
        training=checkpoint.record,
    )


def test_the_views_stage_leaves_streams_and_the_human_view_as_they_were(folder, whole, tmp_path):
    recipe = short()
    trainer(tmp_path / "run.pt", folder, replace(recipe, stages=recipe.stages[:1])).run()
    codecs = []
    for name, path in (("before", tmp_path / "run.pt"), ("after", whole)):
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(exported(read_checkpoint(path), folder))
        codecs.append(Codec.load(str(file)))
    before, after = codecs
    assert before.model.latents_id == after.model.latents_id
    assert before.model.sha256 != after.model.sha256
    stream = before.encode(scene(70, 90), 100)
    assert after.encode(scene(70, 90), 100) == stream
    assert np.array_equal(before.decode(stream, "human"), after.decode(stream, "human"))
    assert np.array_equal(before.decode(stream, "human"), before.decode(stream, "machine"))


def changed(folder, path, recipe):
    """Return which parts a run changes, out of the model's."""
    run = trainer(path, folder, recipe)
    before = {name: value.clone() for name, value in run.checkpoint.model_state.items()}
    run.run()
    after = run.checkpoint.model_state
    names = [name for name, value in before.items() if not torch.equal(value, after[name])]
    of_synthesis = ("embedding", "view_terms", "machine")
    parts = {name.split(".")[0] for name in names if not name.startswith("g_s")}
    for name in names:
        if name.startswith("g_s"):
            part = name.split(".")[1]
            parts.add(f"g_s.{part}" if part in of_synthesis else "g_s")
    return parts


ALL = Session(Views.ALL, LossWeights(semantic=1.0))
HUMAN = Session(Views.HUMAN, LossWeights())


@pytest.mark.parametrize(
    ("trained", "session", "parts"),
    [
        (
            Trained.EVERYTHING,
            HUMAN,
            {"g_a", "h_a", "h_s", "gains", "bottleneck", "g_s", "g_s.machine"},
        ),
        (Trained.SYNTHESIS, HUMAN, {"g_s", "g_s.machine"}),
        (Trained.SYNTHESIS, ALL, {"g_s", "g_s.machine", "g_s.view_terms"}),
        (Trained.MACHINE_END, ALL, {"g_s.machine"}),
    ],
)
def test_a_stage_changes_what_it_says(folder, tmp_path, trained, session, parts):
    recipe = stage_of(
        short(),
        length=Length(1),
        trained=trained,
        sessions=(session,),
        terms=(Term.GLOBAL,),
        last_rate=5e-4,
    )
    assert changed(folder, tmp_path / "run.pt", recipe) == parts


def test_a_human_stage_keeps_both_ends_joined(folder, tmp_path):
    recipe = short()
    run = trainer(tmp_path / "run.pt", folder, replace(recipe, stages=recipe.stages[:1]))
    run.run()
    state = run.checkpoint.model_state
    machine = {name: value for name, value in state.items() if name.startswith("g_s.machine.")}
    assert machine
    for name, value in machine.items():
        assert torch.equal(value, state[name.replace("g_s.machine.", "g_s.")])


def test_the_view_terms_of_one_synthesis_are_trained_too(folder, tmp_path):
    recipe = short()
    recipe = replace(recipe, config=replace(recipe.config, two_ended=False))
    recipe = stage_of(recipe, sessions=(ALL,), terms=(Term.GLOBAL,), length=Length(3))
    parts = changed(folder, tmp_path / "run.pt", recipe)
    assert {"g_s", "g_s.view_terms", "g_s.embedding"} <= parts


def test_alternating_sessions_have_either_views_figures(folder, tmp_path):
    recipe = stage_of(
        short(),
        batch=2,
        length=Length(2, Unit.EPOCHS),
        schedule=Schedule.ALTERNATING,
        sessions=(HUMAN, Session(Views.MACHINE, LossWeights(semantic=1.0))),
        terms=(Term.GLOBAL, Term.LOCAL),
    )
    run = trainer(tmp_path / "run.pt", folder, recipe)
    run.run()
    # Four pictures, two at a time: two steps an epoch, one for each session.
    curve = run.checkpoint.record["stages"]["backbone"]["curve"]
    assert [("psnr_human" in point, "psnr_machine" in point) for point in curve] == [
        (True, False),
        (False, True),
    ] * 2
    assert ["clip_local" in point for point in curve] == [False, True] * 2


def test_machine_views_need_a_teacher(folder, tmp_path):
    with pytest.raises(MissingWeights, match="stage views of recipe tiny asks a teacher: give one"):
        trainer(tmp_path / "run.pt", folder, teacher=None)


def test_a_baseline_needs_no_teacher(folder, tmp_path):
    run = trainer(tmp_path / "run.pt", folder, baseline(short()), teacher=None)
    run.run()
    assert run.finished


def test_instances_need_masks(folder, tmp_path):
    recipe = short()
    views = replace(recipe.stages[1], terms=tuple(Term))
    with pytest.raises(MissingMasks, match="needs instances: run `ugicm-train masks PHOTOS -o"):
        trainer(tmp_path / "run.pt", folder, replace(recipe, stages=(views,)))


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(folder, tmp_path):
    path = tmp_path / "run.pt"
    recipe = stage_of(short(gradient_norm=math.inf), first_rate=1e20, last_rate=1e20)
    trainer(path, folder, recipe, seconds=0.0).run()
    with pytest.raises(Diverged, match=r"stage backbone: the loss is .*run\.pt stays as it was"):
        trainer(path, folder, start=read_checkpoint(path)).run()
    state = read_checkpoint(path).model_state
    assert all(torch.isfinite(value).all() for value in state.values())


def test_a_run_that_is_stopped_before_it_noticed_keeps_the_checkpoint(folder, tmp_path):
    path = tmp_path / "run.pt"
    recipe = short(gradient_norm=math.inf, record_every=1_000, checkpoint_every=1_000)
    recipe = stage_of(recipe, first_rate=1e20, last_rate=1e20)
    trainer(path, folder, recipe, seconds=0.0).run()
    before = path.read_bytes()
    run = trainer(path, folder, start=read_checkpoint(path))
    steps = run.steps()
    for _ in range(4):
        next(steps)
    run.stop()
    with pytest.raises(Diverged, match=r"after 4 steps .*run\.pt stays as it was"):
        next(steps)
    assert path.read_bytes() == before


def test_an_optimiser_of_another_stage_is_refused(folder, tmp_path):
    path = tmp_path / "run.pt"
    ticks = itertools.count()
    trainer(path, folder, seconds=9, clock=lambda: float(next(ticks))).run()
    start = read_checkpoint(path)
    assert start.position.stage == 0
    later = replace(start, position=Position(stage=1, step=2))
    with pytest.raises(BadCheckpoint, match="the optimiser's state is another stage's"):
        trainer(path, folder, start=later).run()


def test_a_run_may_begin_with_another_runs_parameters(folder, whole):
    start = first_checkpoint(published(), INPUTS, pictures=4, start=str(whole))
    old = read_checkpoint(whole)
    assert (start.recipe.config, start.recipe.lambdas) == (old.recipe.config, old.recipe.lambdas)
    assert start.recipe.stages == published().stages
    assert start.position == Position(0, 0)
    assert start.record["start"]["training"]["recipe"]["name"] == "tiny"
    for name, value in old.model_state.items():
        assert torch.equal(start.model_state[name], value)


def test_validation_codes_held_out_pictures_for_both_views(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    recipe = stage_of(short(validation_every=2), length=Length(2))
    run = trainer(tmp_path / "run.pt", folder, recipe, logs=tmp_path / "logs")
    run.run()
    ((name, step, points),) = run.checkpoint.record["validation"]
    assert (name, step, [point[0] for point in points]) == ("backbone", 2, [0, 25, 50, 75, 100])
    for _, rate, human, machine, *similarities in points:
        assert rate > 0
        assert human == machine > 0  # nothing but the human view was trained
        assert all(0 < similarity <= 1 for similarity in similarities)
    assert "backbone 2, validation, quality 100:" in caplog.text


def test_a_teacher_sees_the_machine_view_come_closer(folder, tmp_path):
    """The brightness of the picture is all that this teacher teaches, and it is learned."""
    recipe = short()
    views = replace(
        recipe.stages[1],
        length=Length(40),
        first_rate=3e-3,
        last_rate=3e-3,
        trained=Trained.MACHINE_END,
        sessions=(Session(Views.MACHINE, LossWeights(rate=0.0, distortion=0.0, semantic=1.0)),),
        terms=(Term.GLOBAL,),
    )
    run = trainer(tmp_path / "run.pt", folder, replace(recipe, stages=(views,)), teacher=Brightness)
    run.run()
    curve = run.checkpoint.record["stages"]["views"]["curve"]
    before = np.mean([point["clip_global"] for point in curve[:5]])
    after = np.mean([point["clip_global"] for point in curve[-5:]])
    assert after < 0.5 * before
