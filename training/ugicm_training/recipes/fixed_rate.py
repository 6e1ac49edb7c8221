"""Recipes of one model for each lambda: the paper's schedule, and the published code's."""

from __future__ import annotations

from ugicm_codec.models.bmshj2018 import Bmshj2018Config
from ugicm_training.instances.cropping import InstanceLimits
from ugicm_training.ms_clip import Term
from ugicm_training.recipes.schema import (
    Length,
    LossWeights,
    Recipe,
    Schedule,
    Session,
    Stage,
    Trained,
    Unit,
    Views,
)

__all__ = ["LAMBDAS", "paper", "published"]

# The ends are the paper's; it trains four models and does not print the two between.
LAMBDAS = (0.0018, 0.0054, 0.0161, 0.0483)

# MS-CLIP on the scale of squared grey levels: the published code weighs it by 22 * 0.1 where
# lambda is 0.0022. The paper gives none; with MSE of pixels in [0, 1] its lambdas would give
# pictures of one colour, and MS-CLIP unweighted beside MSE in grey levels less than 1 % of the sum.
_SEMANTIC_PER_LAMBDA = 22 * 0.1 / 0.0022

_ONE_QUALITY = (0.0, 0.0)

# Eq. 4 sums over all of them.
_EVERY_INSTANCE = InstanceLimits(most=1_000)

_PUBLISHED_LAMBDA = 0.0022


def paper(lambda_: float = LAMBDAS[0]) -> Recipe:
    """Return the paper's two stages, whose sessions alternate within each epoch.

    S1-1 trains everything on lambda * MSE(human) + R, S1-2 on lambda * (MSE + MS-CLIP)(machine) +
    R: 200 epochs at 1e-4. (In print, lambda's bracket holds R too, which would take its meaning
    away.) Then S2-1 trains the synthesis alone on MSE(human) and S2-2 on MS-CLIP(machine): 10
    epochs at 1e-5.

    MSE is in squared grey levels and MS-CLIP counts 1000 beside it, the published code's ratio
    (the paper prints none). Adam normalises the scale of S2-1 and S2-2 away, but not their ratio,
    which stays the first stage's. The paper names no batch: 16 crops of 256, CompressAI's.

    Args:
        lambda_: of this model, between ``LAMBDAS``' ends.
    """
    semantic = _SEMANTIC_PER_LAMBDA * lambda_
    first = Stage(
        name="S1",
        length=Length(200, Unit.EPOCHS),
        batch=16,
        crop=256,
        first_rate=1e-4,
        last_rate=1e-4,
        trained=Trained.EVERYTHING,
        sessions=(
            Session(views=Views.HUMAN, weights=LossWeights()),
            Session(views=Views.MACHINE, weights=LossWeights(semantic=semantic)),
        ),
        schedule=Schedule.ALTERNATING,
        qualities=_ONE_QUALITY,
        instances=_EVERY_INSTANCE,
    )
    second = Stage(
        name="S2",
        length=Length(10, Unit.EPOCHS),
        batch=16,
        crop=256,
        first_rate=1e-5,
        last_rate=1e-5,
        trained=Trained.SYNTHESIS,
        sessions=(
            Session(views=Views.HUMAN, weights=LossWeights(rate=0.0)),
            Session(
                views=Views.MACHINE,
                weights=LossWeights(rate=0.0, machine_distortion=0.0, semantic=semantic),
            ),
        ),
        schedule=Schedule.ALTERNATING,
        qualities=_ONE_QUALITY,
        instances=_EVERY_INSTANCE,
    )
    return _fixed_rate("paper", lambda_, first, second)


def published(lambda_: float = _PUBLISHED_LAMBDA) -> Recipe:
    """Return the published code's recipe: both views in every batch, one weighted loss.

    Stage 1: R + 0.5 (lambda * MSE(human) + 0 * MSE(machine) + 2.2 * CLIP(machine)); the halves
    are halves of a batch here, and 2.2 is its 22 times the 0.1 hidden in its CLIP term. The local
    term exists in that code, and no script calls it. Stage 2: 0.001 * MSE(human) + global and
    instance CLIP, unweighted, for the synthesis alone. Batches of 128 at 1e-5, 20 epochs and the
    paper's 10. MSE is in squared grey levels.

    One thing differs: the published code shows CLIP whole pictures squeezed to 256x256, this
    recipe the same crops as for the human view.

    Args:
        lambda_: of this model; 0.0022 in the published script.
    """
    first = Stage(
        name="S1",
        length=Length(20, Unit.EPOCHS),
        batch=128,
        crop=256,
        first_rate=1e-5,
        last_rate=1e-5,
        trained=Trained.EVERYTHING,
        sessions=(
            Session(
                views=Views.ENDS,
                weights=LossWeights(machine_distortion=0.0, semantic=22 * 0.1),
            ),
        ),
        qualities=_ONE_QUALITY,
        terms=(Term.GLOBAL,),
    )
    second = Stage(
        name="S2",
        length=Length(10, Unit.EPOCHS),
        batch=128,
        crop=256,
        first_rate=1e-5,
        last_rate=1e-5,
        trained=Trained.SYNTHESIS,
        sessions=(
            Session(
                views=Views.ENDS,
                weights=LossWeights(
                    rate=0.0, distortion=0.001, machine_distortion=0.0, semantic=1.0
                ),
            ),
        ),
        qualities=_ONE_QUALITY,
        terms=(Term.GLOBAL, Term.INSTANCE),
        instances=_EVERY_INSTANCE,
    )
    return _fixed_rate("published", lambda_, first, second)


def _fixed_rate(name: str, lambda_: float, *stages: Stage) -> Recipe:
    return Recipe(
        name=name,
        # The view's network as in the published code; N and M as in CompressAI up to q5.
        config=Bmshj2018Config(
            channels=128, latent_channels=192, view_features=512, view_octaves=10
        ),
        knots=2,
        lambdas=(lambda_, lambda_),
        quality_steps=1,
        stages=stages,
        view_rate=1.0,
        teacher_side=None,
        warmup_steps=1,
        gradient_norm=1.0,
        held_out=64,
        minimum_side=256,
        record_every=500,
        validation_every=5_000,
        checkpoint_every=1_000,
        seed=1,
    )
