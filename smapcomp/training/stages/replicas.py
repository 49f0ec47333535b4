"""What a stage's losses need to know of the batch's other parts, on other devices.

A replica computes on its part of the global batch. What a stage reports of it are *contributions*:
summed over the replicas they give the means over the whole batch, also where the parts differ in
size or in how many of their pixels are void.
"""

from keras import ops


class Replicas:
    """A single replica: its batch is the whole one. `distribution` has those of `tf.distribute`."""

    def sum(self, value):
        """The sum over the replicas of a tensor, or of each in a list; no gradient."""
        return value

    def positions(self, count: int):
        """Where in the global batch this replica's pictures stand.

        Args:
            count: Pictures that this replica has.

        Returns:
            int32 `[count]`, and the number of pictures in the global batch.
        """
        return ops.arange(count, dtype="int32"), count

    def share(self, weight):
        """This replica's part of what a mean is taken over.

        Args:
            weight: How many pictures, or pixels, this replica has; may be 0.

        Returns:
            float32 scalar in [0, 1]; the shares of all replicas add up to 1, if anything is there.
        """
        weight = ops.stop_gradient(ops.cast(weight, "float32"))
        return weight / ops.maximum(self.sum(weight), 1e-6)


def contribution(mean, share):
    """A replica's part of the global mean, from the mean over its own batch; 0 of an empty one."""
    return ops.where(share > 0, mean * share, 0.0)


ONE = Replicas()
