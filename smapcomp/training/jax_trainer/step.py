"""A stage's training step and validation as functions that JAX compiles."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np

from smapcomp.training.stages.stage import Stage
from smapcomp.training.state import build_optimizers

EMA_DECAY = 0.999
"""Of the averaged weights, which are what is validated and written. Decided here."""


def recomputed(network: keras.Model) -> Callable:
    """What `smapcomp.models.precision.recomputed` is under TensorFlow."""

    def call(inputs, training: bool = False):
        return jax.checkpoint(lambda inputs: network(inputs, training=training))(inputs)

    return call


def scheduled(
    optimizer: keras.Optimizer,
) -> tuple[keras.Optimizer, Callable[[jax.Array], jax.Array]]:
    """Takes an optimizer's schedule out of it, since a budget of time counts no steps.

    Returns:
        The optimizer with a settable learning rate, and its rate as a function of the position in
        the run, int32 scalar.
    """
    config = optimizer.get_config()
    rate = config["learning_rate"]
    schedule = keras.optimizers.schedules.deserialize(rate) if isinstance(rate, dict) else None
    settable = type(optimizer).from_config({**config, "learning_rate": 0.0})
    return settable, schedule or (lambda _: jnp.float32(rate))


class Training:
    """What changes from step to step, and the compiled step that changes it.

    Args:
        stage: Its networks hold the initial weights.
        optimizers: One for each of the stage's groups, of `layerwise`, not yet built.
        take: `take(pictures, key)` makes a batch of the stage.

    Attributes:
        state: Tree of JAX arrays: `train`, `ema` and `slots` by group, `moving`, `count`.
    """

    def __init__(self, stage: Stage, optimizers: Mapping[str, keras.Optimizer], take: Callable):
        self.stage = stage
        self.take = take
        self.groups = {group: stage.variables(group) for group in stage.groups}
        trained = {id(v) for variables in self.groups.values() for v in variables}
        self.moving = [v for v in stage.state() if id(v) not in trained]
        known = trained | {id(v) for v in self.moving}
        models = stage.models.values()
        self.frozen = [v for m in models for v in m.variables if id(v) not in known]
        self.optimizers, self.schedules = {}, {}
        for group in self.groups:
            self.optimizers[group], self.schedules[group] = scheduled(optimizers[group])
        build_optimizers(stage, self.optimizers)
        self.state = {
            "train": {group: _copies(variables) for group, variables in self.groups.items()},
            "ema": {group: _copies(variables) for group, variables in self.groups.items()},
            "moving": _copies(self.moving),
            "slots": {g: _copies(optimizer.variables) for g, optimizer in self.optimizers.items()},
            "count": jnp.zeros((), jnp.int32),
        }
        # An argument of the compiled functions: constants would be copied into them.
        self.frozen_values = _copies(self.frozen)
        self.compiled_step = jax.jit(self.step, donate_argnums=0)
        self._compiled_metrics = jax.jit(self._metrics)

    def run_step(self, pictures, key, position: int) -> dict[str, jax.Array]:
        """Replaces the state by that after one more step.

        Args:
            pictures: First argument of `take`.
            key: JAX random key of the step.
            position: In the run, for the schedules.

        Returns:
            Float32 scalars by the names that the TensorFlow loop's curves have: `train/METRIC`,
            `loss/GROUP`, `gradient_norm/GROUP` (before clipping), `learning_rate/GROUP`.
        """
        self.state, values = self.compiled_step(
            self.state, self.frozen_values, pictures, key, jnp.int32(position)
        )
        return values

    def step(self, state, frozen, pictures, key, position):
        """The pure function behind `run_step`; all groups' updates from the weights before it."""
        batch = self.take(pictures, key)
        totals, metrics, gradients, moving = self.gradients(state, frozen, batch)
        values = {f"train/{name}": value for name, value in metrics.items()}
        new = {"train": {}, "ema": {}, "slots": {}, "moving": moving, "count": state["count"] + 1}
        count = state["count"].astype(jnp.float32)
        decay = jnp.minimum(EMA_DECAY, (1.0 + count) / (10.0 + count))
        for group, gradient in gradients.items():
            rate = self.schedules[group](position)
            weights, new["slots"][group] = self._apply(group, state, gradient, rate)
            new["train"][group] = weights
            new["ema"][group] = [
                decay * average + (1.0 - decay) * weight
                for average, weight in zip(state["ema"][group], weights, strict=True)
            ]
            values[f"loss/{group}"] = totals[group]
            values[f"gradient_norm/{group}"] = jnp.sqrt(sum(jnp.sum(g * g) for g in gradient))
            values[f"learning_rate/{group}"] = rate
        return new, {name: value.astype(jnp.float32) for name, value in values.items()}

    def gradients(self, state, frozen, batch):
        """Losses of a batch and each group's gradient of its own loss, from one forward pass.

        Returns:
            `({group: loss}, {metric: value}, {group: [gradient]}, [moving value])`.
        """

        def forward(weights):
            with self._scope(weights, state["moving"], frozen) as scope:
                totals, metrics, _ = self.stage.losses(batch, training=True)
            return totals, (metrics, [scope.get_current_value(v) for v in self.moving])

        totals, tangents, (metrics, moving) = jax.linearize(forward, state["train"], has_aux=True)
        gradients = {}
        for group, total in totals.items():
            # Not one pull-back of all losses: it would compute with the zeros of the others.
            pull_back = jax.linear_transpose(
                lambda weights, group=group: tangents(weights)[group], state["train"]
            )
            gradients[group] = pull_back(jnp.ones_like(total))[0][group]
        return totals, metrics, gradients, moving

    def _apply(self, group: str, state, gradient, rate):
        optimizer, variables = self.optimizers[group], self.groups[group]
        pairs = _pairs(optimizer.variables, state["slots"][group])
        pairs += _pairs(variables, state["train"][group])
        with keras.StatelessScope(state_mapping=pairs) as scope:
            optimizer.learning_rate = rate
            optimizer.apply(gradient, variables)
        weights, slots = (
            [scope.get_current_value(v) for v in changed]
            for changed in (variables, optimizer.variables)
        )
        return weights, slots

    def _scope(self, weights: Mapping[str, list], moving: list, frozen: list):
        pairs = _pairs(self.moving, moving) + _pairs(self.frozen, frozen)
        for group, variables in self.groups.items():
            pairs += _pairs(variables, weights[group])
        return keras.StatelessScope(state_mapping=pairs)

    def _metrics(self, weights, moving, frozen, batch):
        with self._scope(weights, moving, frozen):
            return self.stage.losses(batch, training=False).metrics

    def mean_metrics(self, pictures: Mapping[str, np.ndarray], as_batch: Callable) -> dict:
        """Means of the stage's metrics over pictures, with the averaged weights.

        Args:
            pictures: Arrays of equal length; eight of each at a time are arguments of
                `as_batch`, by their names.
            as_batch: Makes a batch of the stage.
        """
        sums: dict[str, float] = {}
        total = len(next(iter(pictures.values())))
        for start in range(0, total, 8):
            part = {key: value[start : start + 8] for key, value in pictures.items()}
            size = min(8, total - start)
            metrics = self._compiled_metrics(
                self.state["ema"], self.state["moving"], self.frozen_values, as_batch(**part)
            )
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0.0) + size * float(value)
        return {name: value / total for name, value in sums.items()}

    def put_averages_into_networks(self) -> None:
        """Gives the stage's networks the averaged weights, and the moving statistics."""
        for group, variables in self.groups.items():
            for variable, value in zip(variables, self.state["ema"][group], strict=True):
                variable.assign(value)
        for variable, value in zip(self.moving, self.state["moving"], strict=True):
            variable.assign(value)

    def arrays(self) -> dict[str, "StateArray"]:
        """Every array of the state by its name in checkpoints."""
        leaves, _ = jax.tree_util.tree_flatten_with_path(self.state)
        name = partial(jax.tree_util.keystr, simple=True, separator="/")
        return {name(path): StateArray(value) for path, value in leaves}

    def set_arrays(self, arrays: Mapping[str, "StateArray"]) -> None:
        """The reverse of `arrays`."""
        structure = jax.tree_util.tree_structure(self.state)
        values = [jnp.asarray(arrays[name].value) for name in self.arrays()]
        self.state = jax.tree_util.tree_unflatten(structure, values)


class StateArray:
    """An array in the place of a variable, which `Checkpoints` writes and reads."""

    def __init__(self, value):
        self.value = value

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.value.shape

    @property
    def dtype(self):
        """Of the array."""
        return self.value.dtype

    def numpy(self) -> np.ndarray:
        """The array in the host's memory."""
        return np.asarray(self.value)

    def assign(self, value: np.ndarray) -> None:
        """Takes another array."""
        self.value = value


def _copies(variables) -> list[jax.Array]:
    # Copies, since a step's arguments are given up to it.
    return [jnp.array(v.value) for v in variables]


def _pairs(variables, values) -> list[tuple]:
    return list(zip(variables, values, strict=True))
