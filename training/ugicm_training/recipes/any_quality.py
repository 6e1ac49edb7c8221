"""Recipes of one model for every quality and view: the shipped ones, and their baselines."""

from __future__ import annotations

from dataclasses import replace

from ugicm_codec.models.bmshj2018 import Bmshj2018Config
from ugicm_codec.models.mlicpp.config import MlicppConfig
from ugicm_training.ms_clip import Term
from ugicm_training.recipes.schema import (
    Length,
    LossWeights,
    Recipe,
    Session,
    Stage,
    Trained,
    Views,
)

__all__ = [
    "baseline",
    "default",
    "gpu",
    "mlicpp",
    "mlicpp_small",
    "retrofit",
    "retrofit_pcdm",
    "tiny",
]

_HUMAN = Session(views=Views.HUMAN, weights=LossWeights())
_HUMAN_AFTER = Session(views=Views.HUMAN, weights=LossWeights(rate=0.0))
_MEANING = LossWeights(rate=0.0, semantic=2.0)
_MACHINE = Session(views=Views.MACHINE, weights=_MEANING)
_BETWEEN = Session(views=Views.BETWEEN, weights=_MEANING)


def default() -> Recipe:
    """Return the recipe of a model small enough for a laptop: any quality, any view.

    The backbone learns the human view first, at all qualities, on lambda * MSE + R with MSE in
    squared grey levels, as in CompressAI, so that lambdas compare. Then all that is frozen (the
    paper's second stage freezes encoder and entropy model), and a machine end of the synthesis,
    which begins as the human one, learns meaning: the last steps cost no bits and the human view
    nothing. A quarter of their pictures are seen on the way between the ends, with weights that
    follow the view.

    In the second stage MS-CLIP counts 2 beside lambda * MSE. At the lowest quality that is a
    quarter more than in the published code (1 beside 0.001 * MSE), and each of MS-CLIP's terms (2
    times 0.2 to 0.3 of cosine) outweighs the pixels (0.25). Pixels gain weight with lambda: with
    0.001 at every quality, detectors gained at the lowest and lost at the middle, where little
    meaning was missing and 0.6 dB were paid.
    """
    backbone = Stage(
        name="backbone",
        length=Length(27_600),
        batch=8,
        crop=128,
        first_rate=5e-4,
        last_rate=0.0,
        trained=Trained.EVERYTHING,
        sessions=(_HUMAN,),
    )
    views = replace(
        backbone,
        name="views",
        length=Length(8_000),
        batch=4,
        crop=192,
        first_rate=3e-4,
        trained=Trained.MACHINE_END,
        sessions=(_MACHINE, _MACHINE, _MACHINE, _BETWEEN),
    )
    return Recipe(
        name="default",
        config=Bmshj2018Config(
            channels=64, latent_channels=96, view_features=256, view_octaves=4, two_ended=True
        ),
        knots=5,
        lambdas=(0.0016, 0.032),
        quality_steps=101,
        stages=(backbone, views),
        view_rate=0.3,
        teacher_side=None,
        warmup_steps=300,
        gradient_norm=1.0,
        held_out=64,
        minimum_side=192,
        record_every=500,
        validation_every=2_000,
        checkpoint_every=500,
        seed=1,
    )


def gpu() -> Recipe:
    """Return the default's stages at the literature's size, for half an hour of one large GPU.

    N=128, M=192 as CompressAI's lower qualities. Batches are large enough to fill the card.
    """
    base = default()
    backbone, views = base.stages
    return replace(
        base,
        name="gpu",
        config=replace(base.config, channels=128, latent_channels=192, view_features=512),
        stages=(
            replace(backbone, length=Length(40_000), batch=32, crop=192),
            replace(views, length=Length(6_000), batch=32, crop=192),
        ),
        warmup_steps=1_000,
        record_every=500,
        validation_every=5_000,
        checkpoint_every=1_000,
    )


def mlicpp_small() -> Recipe:
    """Return the default's stages on the small variant of MLIC++.

    The same pictures, steps and weights, so that the two compare; a step takes three times as long.
    """
    return replace(
        default(), name="mlicpp-small", config=replace(MlicppConfig.small(), two_ended=True)
    )


def mlicpp() -> Recipe:
    """Return the default's stages on MLIC++ at the published size, for a large GPU.

    Published: crops of 256, then of 512, 32 to a batch, first at 1e-4. Batches here are of 16
    crops of 256, whose activations fit into 80 GB.
    """
    base = gpu()
    backbone, views = base.stages
    return replace(
        base,
        name="mlicpp",
        config=replace(MlicppConfig.revised(), view_features=512, two_ended=True),
        stages=(
            replace(backbone, batch=16, crop=256, first_rate=1e-4),
            replace(views, batch=16, crop=256, first_rate=1e-4),
        ),
        minimum_side=256,
    )


def baseline(of: Recipe) -> Recipe:
    """Return ``of`` without UG-ICM: the same steps for the human view alone.

    The view's terms start at zero and are never trained, so that every view is the backbone's.
    """

    def human(stage: Stage) -> Stage:
        if stage.trained is Trained.EVERYTHING:
            return replace(stage, sessions=(_HUMAN,))
        return replace(stage, trained=Trained.SYNTHESIS, sessions=(_HUMAN_AFTER,))

    config = replace(of.config, two_ended=False)
    stages = tuple(map(human, of.stages))
    return replace(of, name=f"{of.name}-baseline", config=config, stages=stages)


def retrofit() -> Recipe:
    """Return a recipe that teaches views to a model that exists.

    Sizes, lambdas and quality steps are the starting point's, and so is the human view, to the last
    bit: only a machine end is trained. The latents id stays: streams of the original stay
    decodable, and new streams are the original's byte for byte.
    """
    base = default()
    views = replace(base.stages[-1], length=Length(20_000), batch=16)
    return replace(base, name="retrofit", stages=(views,))


def retrofit_pcdm() -> Recipe:
    """Return ``retrofit`` by the paper's means alone: views share all weights but PCDM's.

    The synthesis and its view network are trained together, a third of the pictures each for the
    human view, the machine view and one between.
    """
    base = retrofit()
    human = Session(views=Views.HUMAN, weights=replace(_MEANING, semantic=0.0))
    views = replace(
        base.stages[-1], trained=Trained.SYNTHESIS, sessions=(human, _MACHINE, _BETWEEN)
    )
    config = replace(base.config, two_ended=False)
    return replace(base, name="retrofit-pcdm", config=config, stages=(views,))


def tiny() -> Recipe:
    """Return a recipe that runs end to end in seconds: for tests, and to try the trainer."""
    base = default()
    backbone, views = base.stages
    terms = (Term.GLOBAL, Term.LOCAL)
    return replace(
        base,
        name="tiny",
        config=Bmshj2018Config(
            channels=8, latent_channels=12, view_features=16, view_octaves=2, two_ended=True
        ),
        knots=2,
        quality_steps=3,
        stages=(
            replace(backbone, length=Length(6), batch=4, crop=64),
            replace(views, length=Length(4), batch=4, crop=64, terms=terms),
        ),
        warmup_steps=2,
        held_out=1,
        minimum_side=64,
        record_every=1,
        validation_every=20,
        checkpoint_every=2,
    )
