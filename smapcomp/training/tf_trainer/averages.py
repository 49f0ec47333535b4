"""Moving averages of the weights, which often give better results than the weights themselves."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
from keras import ops


class Averages:
    """An exponential moving average of each of several variables.

    After n steps the decay is at most (1 + n)/(10 + n), so that a short run is not an average of
    its random initial weights.

    Args:
        variables: Trained variables. The object is made within the strategy's scope.
        decay: Decay of the average, in (0, 1).

    Raises:
        ValueError: `decay` is out of range.
    """

    def __init__(self, variables: Sequence[keras.Variable], decay: float):
        if not 0.0 < decay < 1.0:
            raise ValueError(f"decay of averages must be in (0, 1), got {decay}")
        self.decay = decay
        self._trained = list(variables)
        self._count = keras.Variable(0, dtype="int32", trainable=False, name="count")
        self._averages = [
            keras.Variable(variable.numpy(), dtype="float32", trainable=False, name="average")
            for variable in variables
        ]

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables that a checkpoint must hold."""
        return [self._count, *self._averages]

    def update(self) -> None:
        """Include the variables' present values; to be called within `strategy.run`."""
        count = ops.cast(self._count, "float32")
        keep = ops.minimum(self.decay, (1.0 + count) / (10.0 + count))
        for average, variable in zip(self._averages, self._trained, strict=True):
            average.assign(keep * average + (1.0 - keep) * ops.cast(variable, "float32"))
        self._count.assign(self._count + 1)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Give the variables their averages' values for the duration of a `with` block."""
        own = [variable.numpy() for variable in self._trained]
        self.assign()
        try:
            yield
        finally:
            for variable, value in zip(self._trained, own, strict=True):
                variable.assign(value)

    def assign(self) -> None:
        """Give the variables their averages' values permanently."""
        for variable, average in zip(self._trained, self._averages, strict=True):
            variable.assign(average.numpy())
