"""Replicas: the devices that each compute on a part of the global batch.

What a stage reports of its part are *contributions*: their sum over the replicas is the mean over
the global batch, also where the parts differ in size or in how many of their pixels are void.
"""

from keras import ops


class Replicas:
    """A single replica, whose batch is the global one.

    `tf_trainer.distribution.StrategyReplicas` are those of `tf.distribute`.
    """

    def sum(self, value):
        """Return the sum over the replicas of a tensor, or of each in a list; no gradient."""
        return value

    def positions(self, count: int):
        """Return the positions of this replica's examples in the global batch.

        Args:
            count: Number of examples that this replica has.

        Returns:
            int32 `[count]`, and the number of examples in the global batch.
        """
        return ops.arange(count, dtype="int32"), count

    def share(self, weight):
        """Return this replica's share of what a mean is taken over.

        Args:
            weight: Number of examples, or of pixels, that this replica has; may be 0.

        Returns:
            float32 scalar in [0, 1]. The shares of all replicas add up to 1, unless all weights
            are 0.
        """
        weight = ops.stop_gradient(ops.cast(weight, "float32"))
        return weight / ops.maximum(self.sum(weight), 1e-6)


SINGLE_REPLICA = Replicas()


def contribution(mean, share):
    """Return a replica's contribution to a global mean.

    Args:
        mean: Mean over the replica's own batch.
        share: What `Replicas.share` returns; if it is 0, the contribution is 0 whatever `mean` is.
    """
    return ops.where(share > 0, mean * share, 0.0)


def contributions(means: dict, share) -> dict:
    """Return the `contribution` to each of several means."""
    return {name: contribution(mean, share) for name, mean in means.items()}
