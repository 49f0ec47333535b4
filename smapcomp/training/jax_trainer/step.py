"""Training step and validation of a stage as functions that JAX compiles."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from smapcomp.training.probe import Probe
from smapcomp.training.stages.stage import Stage
from smapcomp.training.stages.stage_optimizers import build_slots

VALIDATION_BATCH = 8
"""Pictures that are validated at a time."""


def recomputed(network: keras.Model) -> Callable:
    """Return a function that calls a network and keeps none of its activations for the gradient.

    It is JAX's counterpart of `smapcomp.models.precision.recomputed`.
    """

    def call(inputs, training: bool = False):
        return jax.checkpoint(lambda inputs: network(inputs, training=training))(inputs)

    return call


def scheduled(
    optimizer: keras.Optimizer,
) -> tuple[keras.Optimizer, Callable[[jax.Array], jax.Array]]:
    """Separate an optimizer from its learning-rate schedule.

    Schedules of Keras count steps, but the position in a run depends on its time limit too.

    Returns:
        The optimizer with a settable learning rate, and its rate as a function of the position in
        the run, an int32 scalar.
    """
    config = optimizer.get_config()
    rate = config["learning_rate"]
    schedule = keras.optimizers.schedules.deserialize(rate) if isinstance(rate, dict) else None
    settable = type(optimizer).from_config({**config, "learning_rate": 0.0})
    return settable, schedule or (lambda _: jnp.float32(rate))


class StepRunner:
    """State of a stage in training, and the compiled step that changes it.

    Args:
        stage: The stage, whose networks hold the initial weights.
        optimizers: One optimizer of `layerwise` for each of the stage's groups, not yet built.
        make_batch: `make_batch(pictures, key)` returns a batch of the stage.
        average_decay: Decay of the moving averages of the weights; after n steps it is at most
            (1 + n)/(10 + n). 0 for no averages.

    Attributes:
        state: Tree of JAX arrays: `weights` and `slots` by group, `averages` by group if there are
            any, `moving` statistics, and the `count` of steps.
    """

    def __init__(
        self,
        stage: Stage,
        optimizers: Mapping[str, keras.Optimizer],
        make_batch: Callable,
        average_decay: float = 0.0,
    ):
        self.stage = stage
        self.make_batch = make_batch
        self.average_decay = average_decay
        self.groups = {group: stage.variables(group) for group in stage.groups}
        trained = {id(v) for variables in self.groups.values() for v in variables}
        self.moving = [v for v in stage.state() if id(v) not in trained]
        known = trained | {id(v) for v in self.moving}
        models = stage.models.values()
        self.frozen = [v for m in models for v in m.variables if id(v) not in known]
        self.optimizers, self.schedules = {}, {}
        for group in self.groups:
            self.optimizers[group], self.schedules[group] = scheduled(optimizers[group])
        build_slots(stage, self.optimizers)
        self.state: dict[str, Any] = {
            "weights": {group: _copies(variables) for group, variables in self.groups.items()},
            "moving": _copies(self.moving),
            "slots": {g: _copies(optimizer.variables) for g, optimizer in self.optimizers.items()},
            "count": jnp.zeros((), jnp.int32),
        }
        if average_decay:
            self.state["averages"] = {g: _copies(v) for g, v in self.groups.items()}
        # These are arguments of the compiled functions, which would copy constants.
        self.frozen_values = _copies(self.frozen)
        self.compiled_step = jax.jit(self.step, donate_argnums=0)
        self._compiled_metrics = jax.jit(self._metrics)

    def run_step(self, pictures, key, position: int) -> dict[str, jax.Array]:
        """Replace the state by that after one more step.

        Args:
            pictures: First argument of `make_batch`.
            key: JAX random key of the step.
            position: Position in the run, for the learning-rate schedules.

        Returns:
            float32 scalars by the names of their curves, which are those of the TensorFlow
            backend: `train/METRIC`, `loss/GROUP`, `gradient_norm/GROUP` (before clipping) and
            `learning_rate/GROUP`.
        """
        self.state, values = self.compiled_step(
            self.state, self.frozen_values, pictures, key, jnp.int32(position)
        )
        return values

    def step(self, state, frozen, pictures, key, position):
        """Return the next state and the values; all updates start from the weights before it.

        This is the pure function that `run_step` compiles.
        """
        batch = self.make_batch(pictures, key)
        totals, metrics, gradients, moving = self.gradients(state, frozen, batch)
        values = {f"train/{name}": value for name, value in metrics.items()}
        new = {"weights": {}, "slots": {}, "moving": moving, "count": state["count"] + 1}
        for group, gradient in gradients.items():
            rate = self.schedules[group](position)
            weights, new["slots"][group] = self._apply(group, state, gradient, rate)
            new["weights"][group] = weights
            values[f"loss/{group}"] = totals[group]
            values[f"gradient_norm/{group}"] = jnp.sqrt(sum(jnp.sum(g * g) for g in gradient))
            values[f"learning_rate/{group}"] = rate
        if self.average_decay:
            new["averages"] = self._averages(state, new["weights"])
        return new, {name: value.astype(jnp.float32) for name, value in values.items()}

    def _averages(self, state, weights: Mapping[str, list]) -> dict[str, list]:
        count = state["count"].astype(jnp.float32)
        decay = jnp.minimum(self.average_decay, (1.0 + count) / (10.0 + count))
        return {
            group: [
                decay * average + (1.0 - decay) * weight
                for average, weight in zip(state["averages"][group], new, strict=True)
            ]
            for group, new in weights.items()
        }

    def gradients(self, state, frozen, batch):
        """Return losses, and each group's gradient of its own loss, from one forward pass.

        Returns:
            `({group: loss}, {metric: value}, {group: [gradient]}, [moving statistic])`.
        """

        def forward(weights):
            with self._scope(weights, state["moving"], frozen) as scope:
                totals, metrics, _ = self.stage.losses(batch, training=True)
            return totals, (metrics, [scope.get_current_value(v) for v in self.moving])

        totals, tangents, (metrics, moving) = jax.linearize(forward, state["weights"], has_aux=True)
        gradients = {}
        for group, total in totals.items():
            # One pull-back of all losses would compute with the zeros of the others.
            pull_back = jax.linear_transpose(
                lambda weights, group=group: tangents(weights)[group], state["weights"]
            )
            gradients[group] = pull_back(jnp.ones_like(total))[0][group]
        return totals, metrics, gradients, moving

    def _apply(self, group: str, state, gradient, rate):
        optimizer, variables = self.optimizers[group], self.groups[group]
        pairs = _pairs(optimizer.variables, state["slots"][group])
        pairs += _pairs(variables, state["weights"][group])
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

    @property
    def trained_weights(self) -> dict[str, list]:
        """The averages of the weights if there are any, else the weights, by group."""
        return self.state["averages" if self.average_decay else "weights"]

    def mean_metrics(self, pictures: Mapping[str, np.ndarray], as_batch: Callable) -> dict:
        """Return the means over pictures of the stage's metrics, with the trained weights.

        Args:
            pictures: Arrays of equal length.
            as_batch: Function that makes a batch of the stage; it gets `VALIDATION_BATCH` entries
                of each array at a time, by the arrays' names.
        """
        sums: dict[str, float] = {}
        total = len(next(iter(pictures.values())))
        for start in range(0, total, VALIDATION_BATCH):
            part = {key: v[start : start + VALIDATION_BATCH] for key, v in pictures.items()}
            size = min(VALIDATION_BATCH, total - start)
            metrics = self._compiled_metrics(
                self.trained_weights, self.state["moving"], self.frozen_values, as_batch(**part)
            )
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0.0) + size * float(value)
        return {name: value / total for name, value in sums.items()}

    def assign_networks(self) -> None:
        """Assign the trained weights and the moving statistics to the stage's networks."""
        for group, variables in self.groups.items():
            for variable, value in zip(variables, self.trained_weights[group], strict=True):
                variable.assign(value)
        for variable, value in zip(self.moving, self.state["moving"], strict=True):
            variable.assign(value)

    def arrays(self) -> dict[str, "StateArray"]:
        """Return every array of the state by its name in checkpoints."""
        leaves, _ = jax.tree_util.tree_flatten_with_path(self.state)
        name = partial(jax.tree_util.keystr, simple=True, separator="/")
        return {name(path): StateArray(value) for path, value in leaves}

    def set_arrays(self, arrays: Mapping[str, "StateArray"]) -> None:
        """Set the state from arrays that are named as `arrays` names them."""
        structure = jax.tree_util.tree_structure(self.state)
        values = [jnp.asarray(arrays[name].value) for name in self.arrays()]
        self.state = jax.tree_util.tree_unflatten(structure, values)


def validation_probe(
    runner: StepRunner, pictures: Mapping[str, np.ndarray], as_batch: Callable, every: int
) -> Probe:
    """Return a probe that measures the stage's metrics as curves `validation/METRIC`.

    Args:
        runner: The stage in training.
        pictures: Validation pictures, as `StepRunner.mean_metrics` takes them.
        as_batch: As `StepRunner.mean_metrics` takes it.
        every: Steps between two validations.
    """

    def run(_, __) -> dict[str, float]:
        metrics = runner.mean_metrics(pictures, as_batch)
        return {f"validation/{name}": value for name, value in metrics.items()}

    return Probe(every, run)


class StateArray:
    """An array with the interface of a variable, as `Checkpoints` needs it.

    Args:
        value: NumPy or JAX array.
    """

    def __init__(self, value):
        self.value = value

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.value.shape

    @property
    def dtype(self):
        """Type of the array's values."""
        return self.value.dtype

    def numpy(self) -> np.ndarray:
        """Return the array in the host's memory."""
        return np.asarray(self.value)

    def assign(self, value: np.ndarray) -> None:
        """Replace the array."""
        self.value = value


def _copies(variables) -> list[jax.Array]:
    # A step reuses the memory of its arguments, so they must not be the variables' own arrays.
    return [jnp.array(v.value) for v in variables]


def _pairs(variables, values) -> list[tuple]:
    return list(zip(variables, values, strict=True))
