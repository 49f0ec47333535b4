"""From a training configuration's fields to what the library takes."""

import contextlib
import dataclasses
from collections.abc import Iterator

from smapcomp.errors import SmapcompError

FIXED = (
    *(
        "stage",
        "variant",
        "data",
        "seed",
        "batch_size",
        "size",
        "fit",
        "scales",
        "rotation",
        "blur",
        "rules",
    ),
    *("loss_weights", "void_share", "representation", "channels", "optimizer", "precision"),
    *("scale", "mse_floor"),
)
"""What may not change when a run is continued. `steps` may: a run can be made longer."""


class ConfigError(SmapcompError):
    """A field of the configuration has a value that is not allowed."""


@contextlib.contextmanager
def config_errors() -> Iterator[None]:
    """Turns what the library says of a value into a `ConfigError`."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ConfigError(f"config: {error}") from None


def stage_settings(config):
    """What a configuration says of the stage, as the library has it."""
    from smapcomp.training import networks
    from smapcomp.training.layerwise import Rules
    from smapcomp.training.settings import Stage1Weights

    names = {field.name for field in dataclasses.fields(networks.StageSettings)}
    values = {name: config[name] for name in names}
    with config_errors():
        return networks.StageSettings(
            **values
            | {
                "init": tuple(filter(None, config.init.split(","))),
                "loss_weights": Stage1Weights(**config.loss_weights),
                "rules": Rules(config.rules),
            }
        )


def require_useful(config) -> None:
    """Checks the fields that the library does not; raises `ConfigError`."""
    if not config.data:
        raise ConfigError("config: data is empty; give --config.data")
    if config.size < 16 or config.size % 8:
        raise ConfigError(f"config: size {config.size}; it must be a multiple of 8 from 16 up")
    if config.fit not in ("crop", "resize"):
        raise ConfigError(f"config: fit {config.fit!r}; allowed: crop, resize")
    if config.stage == "lossy":
        _require_useful_for_lossy(config)
    if not 0 <= config.average_decay < 1:
        raise ConfigError(f"config: average_decay must be in [0, 1), got {config.average_decay}")
    for name in ("steps", "batch_size", "validate_every", "image_every", "codec_every", "pictures"):
        if config[name] < 1:
            raise ConfigError(f"config: {name} must be at least 1, got {config[name]}")


def _require_useful_for_lossy(config) -> None:
    if config.size % 16:
        raise ConfigError(f"config: size {config.size}; stage lossy needs a multiple of 16")
    # What changes samples would part pictures from their coded compact images.
    kept = {"fit": "crop", "scales": (), "rotation": 0.0, "blur": 0.0}
    for name, value in kept.items():
        if config[name] != value:
            raise ConfigError(f"config: {name} {config[name]!r}; stage lossy allows only {value!r}")
