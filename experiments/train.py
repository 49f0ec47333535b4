r"""Trains one stage of the codec's networks, on one device or many.

    python -m experiments.train --config=experiments/configs/stage1_lite.py --workdir=runs/1 \
        --config.data=DIR [--strategy=mirrored] [--config.batch_size=4 ...]

The configurations say what each stage needs; docs/training.md tells the whole of it. A run that
was stopped goes on from its last checkpoint when the same command is given again. At the end the
trained networks lie in `WORKDIR/weights`, one file a network, which later stages read by
`--config.init` and the command `smapcomp` by `--weights_dir`.

Exit status: 0 done; 1 the data, the folder or the training failed, said in one line; 2 a flag or a
field of the configuration is wrong; 75 stopped by SIGTERM or SIGINT after saving a checkpoint.
"""

import sys
from collections.abc import Sequence

from absl import app, flags
from ml_collections import config_flags

from experiments.train_config import ConfigError
from experiments.train_run import run
from smapcomp.errors import SmapcompError
from smapcomp.training.errors import Interrupted

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: the same command again goes on.

CONFIG = config_flags.DEFINE_config_file("config", None, "A file of experiments/configs.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; one a stage.")
STRATEGY = flags.DEFINE_enum(
    "strategy",
    "default",
    ["default", "mirrored", "multiworker", "tpu"],
    "Devices: one; all GPUs of this machine; the machines of TF_CONFIG; the TPU of TPU_NAME.",
)
PROFILE_AT = flags.DEFINE_integer(
    "profile_at", None, "Step from which on three are traced for TensorBoard.", lower_bound=1
)
flags.mark_flags_as_required(["config", "workdir"])


def parse(arguments: Sequence[str]) -> Sequence[str]:
    """The flags; what is wrong with them, or with the configuration's fields, in one line."""
    try:
        rest = flags.FLAGS(arguments)
        CONFIG.value.to_dict()  # raises what is wrong with the file
    except AttributeError as error:
        # ml_collections' words for a field that a locked configuration does not have.
        name, _, advice = str(error).replace("\\n", "\n").strip("\"'").partition("\n")
        name = name.strip("\\'\"")
        _fail(f"the configuration has no field {name!r}. {advice}".strip(". "), EXIT_USAGE)
    except (flags.Error, KeyError, TypeError, ValueError, OSError) as error:
        message = str(error)
        if "Traceback" in message:  # ml_collections' own, of an error in the file
            message = message.strip().splitlines()[-1]
        _fail(message, EXIT_USAGE)
    if len(rest) > 1:
        _fail(f"unknown arguments: {' '.join(rest[1:])}", EXIT_USAGE)
    return rest


def _fail(message: str, status: int) -> None:
    print(f"train: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def job(config, workdir: str, strategy: str = "default", profile_at: int | None = None) -> None:
    """As `run`; what a user can do something about ends the process with one line."""
    try:
        run(config, workdir, strategy, profile_at)
    except Interrupted as interrupted:
        print(f"{interrupted}; the same command goes on from there", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except ConfigError as error:
        _fail(str(error), EXIT_USAGE)
    except (SmapcompError, OSError, ValueError) as error:
        _fail(str(error), EXIT_FAILED)


def main(_: Sequence[str]) -> None:
    job(CONFIG.value, WORKDIR.value, STRATEGY.value, PROFILE_AT.value)


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
