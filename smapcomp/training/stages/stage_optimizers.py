"""Optimizers of a stage, one for each of its groups."""

from collections.abc import Mapping

import keras

from smapcomp.training.config_groups import OptimizerConfig
from smapcomp.training.optimizers import build_optimizer
from smapcomp.training.stages.stage import Stage


def stage_optimizers(
    stage: Stage, config: OptimizerConfig, steps: int, loss_scaled: bool = False
) -> dict[str, keras.Optimizer]:
    """Return an optimizer for each group of a stage; call within the strategy's scope.

    Args:
        stage: The stage.
        config: Kind, schedule and rules.
        steps: Step at which the schedule ends.
        loss_scaled: Whether losses are scaled, which float16 needs.
    """
    return {group: build_optimizer(config, steps, loss_scaled) for group in stage.groups}


def build_slots(stage: Stage, optimizers: Mapping[str, keras.Optimizer]) -> None:
    """Create the optimizers' variables, such as moments; call within the strategy's scope."""
    for group, optimizer in optimizers.items():
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        inner.name_variables(stage.names(group))
        # Before the wrapper around it, which would name the variables by their paths.
        inner.build(stage.variables(group))
        if inner is not optimizer:
            optimizer.build(stage.variables(group))
