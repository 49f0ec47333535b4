"""Averages of the weights over the steps, which often do better than the weights themselves."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
from keras import ops


class Averages:
    """An exponential moving average of each of some variables.

    The share that an average keeps is at most `decay`, and (1 + n)/(10 + n) after n steps, so that
    a short run is not an average of its random beginning.

    Args:
        variables: Trained ones. To be made within the strategy's scope.
        decay: Of the average, in (0, 1).

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
        """What a checkpoint has to hold."""
        return [self._count, *self._averages]

    def update(self) -> None:
        """Takes the variables' present values in; for `strategy.run`."""
        count = ops.cast(self._count, "float32")
        keep = ops.minimum(self.decay, (1.0 + count) / (10.0 + count))
        for average, variable in zip(self._averages, self._trained, strict=True):
            average.assign(keep * average + (1.0 - keep) * ops.cast(variable, "float32"))
        self._count.assign(self._count + 1)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Lets the variables have their averages' values for a while; they get theirs back."""
        own = [variable.numpy() for variable in self._trained]
        self.assign()
        try:
            yield
        finally:
            for variable, value in zip(self._trained, own, strict=True):
                variable.assign(value)

    def assign(self) -> None:
        """Gives the variables their averages' values for good."""
        for variable, average in zip(self._trained, self._averages, strict=True):
            variable.assign(average.numpy())
