"""Small recipes that tell what any quality and any view cost, at equal steps."""

from __future__ import annotations

from dataclasses import replace

from ugicm_codec.models.bmshj2018 import Bmshj2018Config
from ugicm_training.ms_clip import Term
from ugicm_training.recipes.any_quality import default
from ugicm_training.recipes.schema import Length, Recipe, Views

__all__ = ["proxy_any_quality", "proxy_fixed_rate", "proxy_start"]

# Enough that pictures look like themselves, in minutes of one core.
_START_STEPS, _BACKBONE_STEPS, _VIEWS_STEPS = 2_000, 400, 100


def proxy_start() -> Recipe:
    """Return what all branches begin with: the human view at every quality."""
    base = proxy_any_quality()
    backbone = base.stages[0]
    longer = replace(
        backbone, length=Length(_START_STEPS), first_rate=1e-3, last_rate=backbone.first_rate
    )
    return replace(base, name="proxy-start", stages=(longer,))


def proxy_any_quality() -> Recipe:
    """Return the branch that trains every quality and every view: the default's stages, small."""
    base = default()
    backbone, views = base.stages
    return replace(
        base,
        name="proxy-any-quality",
        config=Bmshj2018Config(
            channels=32, latent_channels=48, view_features=64, view_octaves=4, two_ended=True
        ),
        stages=(
            replace(backbone, length=Length(_BACKBONE_STEPS), batch=8, crop=64),
            # The global term alone: a step costs a third, and both branches have the same.
            replace(views, length=Length(_VIEWS_STEPS), batch=4, crop=128, terms=(Term.GLOBAL,)),
        ),
        # A third of the time of 224 pixels, which the stand-in is fitted at.
        teacher_side=128,
        warmup_steps=30,
        minimum_side=128,
        record_every=50,
        validation_every=10**9,
        checkpoint_every=10**9,
    )


def proxy_fixed_rate(quality: float) -> Recipe:
    """Return the branch that trains one quality and two views, with as many steps and pictures.

    Args:
        quality: in [0, 1], of both stages; lambda follows from it as in the other branch.
    """
    base = proxy_any_quality()
    backbone, views = base.stages
    only = (quality, quality)
    # The human view is the first stage's; steps between the views go to the machine's instead.
    machine = tuple(session for session in views.sessions if session.views is Views.MACHINE)
    return replace(
        base,
        name=f"proxy-fixed-rate-{quality:g}",
        stages=(
            replace(backbone, qualities=only),
            replace(views, qualities=only, sessions=machine),
        ),
    )
