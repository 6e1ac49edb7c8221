"""Which parameters a stage changes, and how fast."""

from __future__ import annotations

import torch

from ugicm_training.errors import BadStart
from ugicm_training.model import Trainable
from ugicm_training.recipes import Recipe, Stage, Trained

__all__ = ["free", "learning_rate", "new_optimizer", "set_learning_rate"]


def free(model: Trainable, stage: Stage) -> None:
    """Let gradients change what the stage trains, and nothing else."""
    model.requires_grad_(stage.trained is Trained.EVERYTHING)
    # CompressAI's search for medians is not part of the loss: tables are made without it.
    model.bottleneck.quantiles.requires_grad_(False)
    synthesis = model.g_s
    if stage.trained is Trained.MACHINE_END:
        if synthesis.machine is None:
            raise BadStart(f"stage {stage.name} trains a machine end, and the model has none")
        synthesis.machine.requires_grad_(True)
        return
    synthesis.requires_grad_(True)
    synthesis.embedding.requires_grad_(stage.trains_views)
    synthesis.view_terms.requires_grad_(stage.trains_views)
    if synthesis.machine is not None:
        synthesis.machine.requires_grad_(stage.trains_views)


def new_optimizer(model: Trainable, recipe: Recipe) -> torch.optim.Adam:
    """Return an optimiser of the parameters that are free, with nothing learned yet."""
    synthesis = model.g_s
    of_view = [*synthesis.embedding.parameters(), *synthesis.view_terms.parameters()]
    known = {id(parameter) for parameter in of_view}
    others = [each for each in model.parameters() if id(each) not in known]
    groups = [
        {"params": [each for each in others if each.requires_grad], "relative_rate": 1.0},
        {
            "params": [each for each in of_view if each.requires_grad],
            "relative_rate": recipe.view_rate,
        },
    ]
    devices = {each.device.type for each in model.parameters()}
    return torch.optim.Adam(
        [group for group in groups if group["params"]], fused=devices <= {"cpu", "cuda"}
    )


def learning_rate(recipe: Recipe, stage: Stage, *, step: int, steps: int) -> float:
    """Return the rate of a step of ``steps``: up over the warm-up, then linear."""
    warmup = min(1.0, (step + 1) / recipe.warmup_steps)
    return warmup * (stage.first_rate + (stage.last_rate - stage.first_rate) * step / steps)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group its share of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["relative_rate"] * rate
