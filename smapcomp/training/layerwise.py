"""Layer-wise learning rates for any Keras optimizer.

A multiplier scales the *update* of a variable. Scaling its gradient would have no effect with Adam
and its relatives, which divide by the gradient's own size.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops
from keras.optimizers import LossScaleOptimizer

from smapcomp.training.rules import Rules, RulesError


def freeze(model: keras.Model, names: Mapping[int, str], rules: Rules) -> None:
    """Make the variables untrainable that the rules freeze.

    A layer whose trained variables are all frozen gets `trainable = False`, so that batch
    normalisation keeps its statistics too. In other layers only the variables are frozen.

    Args:
        model: The network; its `trainable_variables` no longer contain the frozen ones.
        names: `id` of each variable to its name in the rules.
        rules: Rules for the model's trained variables.

    Raises:
        RulesError: No rule applies to a trained variable, or several do.
    """
    for layer in model.layers:
        variables = layer.trainable_variables
        frozen = [v for v in variables if rules.multiplier(names[id(v)]) is None]
        if variables and len(frozen) == len(variables):
            layer.trainable = False
        for variable in frozen:
            variable.trainable = False


if TYPE_CHECKING:
    from keras.optimizers import Optimizer as _Optimizer
else:
    _Optimizer = object


class _Layerwise(_Optimizer):
    """Mix-in that `layerwise` adds to an optimizer's class.

    `apply` takes gradients of the *global* batch, which are already summed over the replicas: Keras
    would clip each replica's gradient by its own norm before it adds them up.
    """

    def __init__(self, *args, rules: Rules, **kwargs):
        super().__init__(*args, **kwargs)
        self.rules = rules
        self._names: list[str] | None = None
        self._multipliers: list[float | None] = []

    def name_variables(self, names: Sequence[str]) -> None:
        """Set the names, in the rules, of the variables that `build` will get.

        By default these are the paths of the variables.
        """
        self._names = list(names)

    def build(self, variables):
        if self.built:
            return
        names = self._names or [variable.path for variable in variables]
        multipliers = [self.rules.multiplier(name) for name in names]
        for name, multiplier in zip(names, multipliers, strict=True):
            if multiplier is None:
                raise RulesError(f"variable {name} is frozen by its rule and cannot be trained")
        self._multipliers = multipliers
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        multiplier = self._multipliers[self._get_variable_index(variable)]
        if multiplier != 1.0:
            learning_rate = ops.cast(learning_rate, "float32") * multiplier
        # Where Keras applies the decay, every variable would decay at the unscaled rate.
        if self.weight_decay is not None and self._use_weight_decay(variable):
            rate = ops.cast(learning_rate, variable.dtype)
            decay = ops.cast(self.weight_decay, variable.dtype)
            self.assign_sub(variable, ops.multiply(variable, decay * rate))
        super().update_step(gradient, variable, learning_rate)

    def _apply_weight_decay(self, variables):
        del variables

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars

    def get_config(self):
        return {**super().get_config(), "rules": [list(pair) for pair in self.rules.pairs]}

    @classmethod
    def from_config(cls, config):
        rules = Rules(tuple(tuple(pair) for pair in config.pop("rules")))
        return super().from_config({**config, "rules": rules})


@functools.cache
def _layerwise_class(base: Any) -> Any:
    found = type(f"Layerwise{base.__name__}", (_Layerwise, base), {})
    return keras.saving.register_keras_serializable(package="smapcomp")(found)


def layerwise(optimizer: keras.optimizers.Optimizer, rules: Rules) -> keras.optimizers.Optimizer:
    """Return a copy of an optimizer with a learning rate of its own for each variable.

    A variable with multiplier m moves as in a run of its own at m times the learning rate,
    decoupled weight decay included. `apply` takes gradients that are already summed over the
    replicas of a `tf.distribute` strategy.

    Args:
        optimizer: Optimizer of any class, not yet built.
        rules: Rules for the names that `name_variables` sets, by default the variables' paths.

    Returns:
        An instance of a subclass of the optimizer's class, made in the current strategy's scope.

    Raises:
        ValueError: The optimizer wraps another one.
    """
    if isinstance(optimizer, (LossScaleOptimizer, keras.optimizers.MultiOptimizer)):
        name = type(optimizer).__name__
        raise ValueError(f"{name} wraps an optimizer; apply layerwise to the wrapped one")
    base: Any = type(optimizer)
    return _layerwise_class(base).from_config(
        {**optimizer.get_config(), "rules": [list(pair) for pair in rules.pairs]}
    )
