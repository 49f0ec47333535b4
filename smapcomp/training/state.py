"""What of a run changes from step to step: what its checkpoints hold."""

from collections.abc import Mapping

import keras

from smapcomp.training.stages.stage import Stage
from smapcomp.training.tf_trainer.averages import Averages


def build_optimizers(stage: Stage, optimizers: Mapping[str, keras.Optimizer]) -> None:
    """Makes the optimizers' variables; call within the strategy's scope."""
    for group, optimizer in optimizers.items():
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        inner.name_variables(stage.names(group))
        # Before the one around it, which would name the variables by their paths.
        inner.build(stage.variables(group))
        if inner is not optimizer:
            optimizer.build(stage.variables(group))


def run_variables(
    stage: Stage, optimizers: Mapping[str, keras.Optimizer], averages: Averages | None = None
) -> dict[str, keras.Variable]:
    """All that changes from step to step, by the name it has in checkpoints.

    That is the trained networks' variables, moving statistics and seeds of dropout included, the
    optimizers', their loss scales included, and the averages. Networks that the stage holds fixed
    are not part of it.
    """
    found = {}
    for group, roles in stage.groups.items():
        for role in roles:
            found.update(_network_variables(role, stage.models[role]))
        # Names of slots leave out the layer, so they are not unique; the order is fixed.
        for index, variable in enumerate(optimizers[group].variables):
            found[f"optimizer/{group}/{index:04}_{variable.name}"] = variable
    for index, variable in enumerate(averages.variables if averages else ()):
        found[f"averages/{index:04}_{variable.name}"] = variable
    return found


def _network_variables(role: str, model: keras.Model) -> dict[str, keras.Variable]:
    found, seeds = {}, 0
    for variable in model.variables:
        if variable.name == "seed_generator_state":
            # Keras numbers the seeds of dropout through the process, not through the network.
            found[f"{role}/seed_{seeds:02}"] = variable
            seeds += 1
        else:
            found[f"{role}/{variable.path}"] = variable
    return found
