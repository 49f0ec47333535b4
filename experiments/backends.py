"""Backends of training: which fields each supports, and the choice of Keras' backend."""

import dataclasses
import os

from smapcomp.training.config import TrainingConfig
from smapcomp.training.errors import ConfigError
from smapcomp.training.probe_curves import require_known_best_metric

BACKENDS = ("tensorflow", "jax")

UNSUPPORTED = {
    "tensorflow": ("data.coded", "run.seconds"),
    "jax": (
        "data.fit",
        "data.rotation",
        "data.blur",
        "run.jit_compile",
        "run.deterministic",
        "evaluation.image_every",
        "evaluation.pictures",
        "evaluation.codec_every",
        "evaluation.codec_pictures",
        "evaluation.histogram_every",
        "evaluation.graph",
    ),
}
"""Fields that a backend does not support: they must have their default value."""


def check(
    config: TrainingConfig,
    backend: str,
    strategy: str = "default",
    profile_at: int | None = None,
) -> None:
    """Check that a backend can run a configuration, and make it Keras' backend.

    Args:
        config: The configuration.
        backend: One of `BACKENDS`.
        strategy: Strategy of the command line.
        profile_at: Profiled step of the command line, or `None`.

    Raises:
        ConfigError: A field or a flag has a value that the backend does not support, no probe
            measures the metric of the best checkpoint, or the environment variable KERAS_BACKEND
            names another backend.
    """
    if not config.data.source:
        raise ConfigError("config.data.source is empty; set --config.data.source")
    for name in UNSUPPORTED[backend]:
        group, field = name.split(".")
        values = getattr(config, group)
        default = next(f.default for f in dataclasses.fields(values) if f.name == field)
        _require(f"config.{name}", getattr(values, field), (default,), backend)
    if backend == "tensorflow" and not (config.run.steps or config.run.epochs):
        raise ConfigError("config.run.steps and .epochs are 0; backend tensorflow needs one")
    if backend == "jax":
        _require("config.model.precision", config.model.precision, ("float32", "bfloat16"), backend)
        _require("--strategy", strategy, ("default",), backend)
        _require("--profile_at", profile_at, (None,), backend)
        if config.model.stage == "lossy" and not config.data.coded:
            raise ConfigError(
                "config.data.coded is empty; stage lossy with backend jax needs the file of "
                "data.pack_coded"
            )
    require_known_best_metric(config, backend)
    found = os.environ.setdefault("KERAS_BACKEND", backend)
    if found != backend:
        raise ConfigError(
            f"environment variable KERAS_BACKEND is {found!r}; with --backend={backend} it must be "
            f"{backend!r} or not set"
        )


def _require(name: str, value, allowed: tuple, backend: str) -> None:
    if value not in allowed:
        words = ", ".join(map(repr, allowed))
        raise ConfigError(f"{name} {value!r} is not supported by backend {backend}; use {words}")
