"""Learning rates layer by layer: rules over the names of variables, for any Keras optimizer.

A multiplier scales the *update*. Scaling gradients does nothing under Adam and its relatives, which
divide by the gradient's own size.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import keras
from keras import ops
from keras.optimizers import LossScaleOptimizer

from smapcomp.errors import SmapcompError


class RulesError(SmapcompError):
    """Rules don't say, or say twice, how fast a variable learns."""


@dataclass(frozen=True)
class Rules:
    """How fast each variable learns.

    Attributes:
        pairs: (regular expression, multiplier of the learning rate); None for frozen. A rule is of
            the variables in whose names `re.search` finds the expression, and each variable must
            be of exactly one rule.

    Raises:
        RulesError: A pair is no such thing.
    """

    pairs: tuple[tuple[str, float | None], ...] = ((".*", 1.0),)

    def __post_init__(self):
        try:
            pairs = tuple((pattern, multiplier) for pattern, multiplier in self.pairs)
        except (TypeError, ValueError):
            raise RulesError(
                f"rules {self.pairs!r}; they are pairs (regular expression, multiplier or None)"
            ) from None
        for pattern, multiplier in pairs:
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                raise RulesError(f"rule {pattern!r} is no regular expression: {error}") from None
            number = isinstance(multiplier, (int, float)) and not isinstance(multiplier, bool)
            if multiplier is not None and not (number and 0 < multiplier < float("inf")):
                raise RulesError(
                    f"rule {pattern!r} has multiplier {multiplier!r}; "
                    "it must be a number above 0, or None for frozen"
                )
        object.__setattr__(self, "pairs", pairs)

    def match(self, name: str) -> int:
        """The number of the rule that a variable is of.

        Raises:
            RulesError: None is, or several are.
        """
        found = [i for i, (pattern, _) in enumerate(self.pairs) if re.search(pattern, name)]
        if len(found) != 1:
            patterns = ", ".join(repr(pattern) for pattern, _ in self.pairs)
            matching = ", ".join(repr(self.pairs[i][0]) for i in found)
            problem = f"{matching} all match" if found else f"none of {patterns} matches"
            raise RulesError(f"variable {name} needs exactly one rule; {problem}")
        return found[0]

    def multiplier(self, name: str) -> float | None:
        """A variable's multiplier, None for frozen; raises as `match`."""
        return self.pairs[self.match(name)][1]


def freeze(model: keras.Model, names: Mapping[int, str], rules: Rules) -> None:
    """Holds what the rules freeze.

    A layer all of whose trained variables are frozen gets `trainable = False`, so that batch
    normalisation keeps its statistics too; else the variables alone are held.

    Args:
        model: Its `trainable_variables` no longer have the frozen ones.
        names: `id` of each variable to the name that the rules know it by.
        rules: Of the model's trained variables.

    Raises:
        RulesError: A trained variable is of no rule or of several.
    """
    for layer in model.layers:
        variables = layer.trainable_variables
        frozen = [v for v in variables if rules.multiplier(names[id(v)]) is None]
        if variables and len(frozen) == len(variables):
            layer.trainable = False
        for variable in frozen:
            variable.trainable = False


def require_used(rules: Rules, names: Iterable[str]) -> None:
    """Raises `RulesError` if a rule matches none of the names: most likely it is misspelt."""
    used = {rules.match(name) for name in names}
    for index, (pattern, _) in enumerate(rules.pairs):
        if index not in used:
            raise RulesError(f"rule {pattern!r} matches no variable that is trained")


class _Layerwise:
    """What `layerwise` adds to an optimizer's class.

    Gradients given to `apply` are those of the *global* batch, already summed over the replicas:
    Keras would clip each replica's gradient by its own norm before it adds them up.
    """

    def __init__(self, *args, rules: Rules, **kwargs):
        super().__init__(*args, **kwargs)
        self.rules = rules
        self._names: list[str] | None = None
        self._multipliers: list[float] = []

    def name_variables(self, names: Sequence[str]) -> None:
        """Says what the rules call the variables that `build` will get; else their paths."""
        self._names = list(names)

    def build(self, variables):
        if self.built:
            return
        names = self._names or [variable.path for variable in variables]
        multipliers = [self.rules.multiplier(name) for name in names]
        for name, multiplier in zip(names, multipliers, strict=True):
            if multiplier is None:
                raise RulesError(f"variable {name} is frozen by its rule and can't be trained")
        self._multipliers = multipliers
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        multiplier = self._multipliers[self._get_variable_index(variable)]
        if multiplier != 1.0:
            learning_rate = ops.cast(learning_rate, "float32") * multiplier
        # Here and not where Keras does it: there every variable decays at the unscaled rate.
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
def _layerwise_class(base: type[keras.optimizers.Optimizer]) -> type:
    found = type(f"Layerwise{base.__name__}", (_Layerwise, base), {})
    return keras.saving.register_keras_serializable(package="smapcomp")(found)


def layerwise(optimizer: keras.optimizers.Optimizer, rules: Rules) -> keras.optimizers.Optimizer:
    """An optimizer as the given one, with a rate of its own for each variable.

    A variable of multiplier m moves as in a run of its own at m times the learning rate, decoupled
    weight decay included. `apply` takes gradients that are already summed over the replicas of a
    `tf.distribute` strategy.

    Args:
        optimizer: Of any class, not yet built.
        rules: Of the names that `name_variables` gives, else of the variables' paths.

    Returns:
        An instance of a subclass of the optimizer's class, made in the current strategy's scope.

    Raises:
        ValueError: The optimizer wraps another one.
    """
    if isinstance(optimizer, (LossScaleOptimizer, keras.optimizers.MultiOptimizer)):
        name = type(optimizer).__name__
        raise ValueError(f"{name} wraps an optimizer; give the wrapped one its rules")
    return _layerwise_class(type(optimizer)).from_config(
        {**optimizer.get_config(), "rules": [list(pair) for pair in rules.pairs]}
    )
