"""Variables of a run that change from step to step, which are what its checkpoints hold."""

from collections.abc import Mapping

import keras

from smapcomp.training.stages.stage import Stage
from smapcomp.training.tf_trainer.averages import Averages


def run_variables(
    stage: Stage, optimizers: Mapping[str, keras.Optimizer], averages: Averages | None = None
) -> dict[str, keras.Variable]:
    """Return all variables that change from step to step, by their names in checkpoints.

    These are the variables of the trained networks, moving statistics and seeds of dropout
    included, those of the optimizers, loss scales included, and the averages. Networks that stay
    fixed are not among them.

    Args:
        stage: The stage.
        optimizers: Its built optimizers, by group.
        averages: Averages of the weights, if the run has them.
    """
    found = {}
    for group, roles in stage.groups.items():
        for role in roles:
            found.update(_network_variables(role, stage.models[role]))
        # The names of slots leave out the layer, so they are not unique; their order is fixed.
        for index, variable in enumerate(optimizers[group].variables):
            found[f"optimizer/{group}/{index:04}_{variable.name}"] = variable
    for index, variable in enumerate(averages.variables if averages else ()):
        found[f"averages/{index:04}_{variable.name}"] = variable
    return found


def _network_variables(role: str, model: keras.Model) -> dict[str, keras.Variable]:
    found, seeds = {}, 0
    for variable in model.variables:
        if variable.name == "seed_generator_state":
            # Keras numbers the seeds of dropout within the process, not within the network.
            found[f"{role}/seed_{seeds:02}"] = variable
            seeds += 1
        else:
            found[f"{role}/{variable.path}"] = variable
    return found
