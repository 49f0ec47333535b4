"""Values of a run's curves: means over steps, learning rates, memory."""

import resource
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf


class StepWindow:
    """The steps between two points of the curves."""

    def __init__(self):
        self._values: dict[str, list[float]] = {}
        self._pictures = self._seconds = 0.0
        self._skipped = 0

    def add(self, values: Mapping[str, float], skipped: set[str], pictures: float, seconds: float):
        """Add a step.

        Args:
            values: Values of the step by the names of their curves.
            skipped: Names of values that are not finite because of the loss scale.
            pictures: Number of pictures in the global batch.
            seconds: Duration of the step.
        """
        for name, value in values.items():
            self._values.setdefault(name, [])
            if name not in skipped:
                self._values[name].append(value)
        self._skipped += bool(skipped)
        self._pictures += pictures
        self._seconds += seconds

    def means(self) -> dict[str, float]:
        """Return the means of all values, and the pictures per second."""
        found = {name: float(np.mean(v)) for name, v in self._values.items() if v}
        if any(name.startswith("loss_scale/") for name in found):
            found["loss_scale/skipped_steps"] = float(self._skipped)
        return {**found, "throughput/pictures_per_second": self._pictures / self._seconds}


def memory() -> dict[str, float]:
    """Return the peak memory of the process and of its GPUs so far, in GiB."""
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"memory/host_peak_gib": kib / 2**20}
    for index, device in enumerate(tf.config.list_logical_devices("GPU")):
        peak = tf.config.experimental.get_memory_info(device.name)["peak"]
        found[f"memory/gpu{index}_peak_gib"] = peak / 2**30
    return found


def learning_rates(optimizers: Mapping[str, keras.Optimizer]) -> dict[str, float]:
    """Return the learning rate of each group, and of each rule if there are several."""
    rates = {}
    for group, optimizer in optimizers.items():
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        rates[f"learning_rate/{group}"] = rate
        rules = getattr(optimizer, "inner_optimizer", optimizer).rules
        if len(rules.pairs) > 1:
            for pattern, multiplier in rules.pairs:
                rates[f"learning_rate/{group}/{pattern}"] = rate * (multiplier or 0.0)
    return rates


def console_values(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values that the console has room for: losses and metrics."""
    hidden = ("gradient_norm/", "loss_scale/", "throughput/")
    return {k.removeprefix("train/"): v for k, v in values.items() if not k.startswith(hidden)}
