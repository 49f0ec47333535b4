"""Graph of a stage's networks, for TensorBoard."""

from collections.abc import Mapping

import tensorflow as tf

from smapcomp.training.stages.stage import Stage


def forward_graph(stage: Stage, batch: Mapping[str, tf.Tensor]) -> tf.Graph:
    """Return the graph of a stage's forward pass: its networks, losses and metrics.

    Nothing is computed. The operations of a network lie in a scope with the name of its role, and
    those of a layer in a scope with the layer's name.

    Args:
        stage: The stage.
        batch: A batch of the stage with at least one example, whose shapes the graph has.
    """

    @tf.function(autograph=False)
    def forward(batch):
        return tuple(stage.losses(batch, training=False))

    names = {role: network.name for role, network in stage.models.items()}
    try:
        for role, network in stage.models.items():
            network.name = role
        return forward.get_concrete_function(dict(batch)).graph
    finally:
        for role, network in stage.models.items():
            network.name = names[role]
