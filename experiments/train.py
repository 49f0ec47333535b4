r"""Train one stage of the codec's networks, with TensorFlow or with JAX.

    python -m experiments.train --config=experiments/configs/stage1_lite.py \
        --workdir=runs/stage1 --config.data.source=DIR [--config.data.batch_size=4 ...]
    python -m experiments.train --backend=jax --config=experiments/configs/stage1_lite.py \
        --workdir=runs/stage1 --config.data.source=photos.npz

Both backends read the same configurations (`experiments/configs`), and docs/training.md describes
them. A run that was stopped continues from its last checkpoint when the same command is given
again. At the end the trained networks are in `WORKDIR/weights`, one file for each network; later
stages read them by `--config.model.init` and the command `smapcomp` by `--weights_dir`.

Exit status: 0: done. 1: the data, the folder or the training failed. 2: a flag or a field of the
configuration is wrong. 75: stopped by SIGTERM or SIGINT after a checkpoint was saved. Errors are
one line.
"""

from collections.abc import Sequence

from absl import app, flags
from ml_collections import config_flags

from experiments import backends, config_flag, jax_run, tensorflow_run
from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import EXIT_FAILED, EXIT_RESUMABLE, EXIT_USAGE, fail
from smapcomp.training.config import TrainingConfig
from smapcomp.training.errors import ConfigError, Interrupted

NAME = "train"

CONFIG = config_flags.DEFINE_config_file("config", None, "File of experiments/configs.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; each stage has its own.")
BACKEND = flags.DEFINE_enum(
    "backend", "tensorflow", backends.BACKENDS, "Library that runs the training."
)
STRATEGY = flags.DEFINE_enum(
    "strategy",
    "default",
    ["default", "mirrored", "multiworker", "tpu"],
    "Devices: one; all GPUs of this machine; the machines of TF_CONFIG; the TPU of TPU_NAME. "
    "TensorFlow backend.",
)
PROFILE_AT = flags.DEFINE_integer(
    "profile_at",
    None,
    "First of three steps that are traced for TensorBoard. TensorFlow backend.",
    lower_bound=1,
)
flags.mark_flags_as_required(["config", "workdir"])


def parse(arguments: Sequence[str]) -> Sequence[str]:
    """Parse the command line; end the process with one line if a flag or a field is wrong."""
    return config_flag.parse(NAME, CONFIG, arguments)


def train(
    config,
    workdir: str,
    backend: str = "tensorflow",
    strategy: str = "default",
    profile_at: int | None = None,
) -> None:
    """Run a training; end the process with one line if it fails.

    Args:
        config: Configuration as `get_config()` of a file of `experiments/configs` returns it.
        workdir: Folder of the run.
        backend: One of `backends.BACKENDS`.
        strategy: Devices; see the flag.
        profile_at: First step that is traced, or `None`.
    """
    try:
        checked = TrainingConfig.from_dict(config.to_dict())
        run = jax_run.run if backend == "jax" else tensorflow_run.run
        run(checked, workdir, strategy, profile_at)
    except Interrupted as interrupted:
        fail(NAME, f"{interrupted}; the same command continues", EXIT_RESUMABLE)
    except ConfigError as error:
        fail(NAME, error, EXIT_USAGE)
    except (SmapcompError, OSError, ValueError) as error:
        fail(NAME, error, EXIT_FAILED)


def main(_: Sequence[str]) -> None:
    """Run the training that the command line describes."""
    config = config_flag.config_of(CONFIG)
    train(config, WORKDIR.value, BACKEND.value, STRATEGY.value, PROFILE_AT.value)


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
