r"""Estimate the cost of training a configuration: operations, memory, and hours on a GPU.

    python -m tools.training_cost --config=experiments/configs/stage1_paper.py \
        [--config.GROUP.FIELD=VALUE ...] [--gpu=NAME] [--utilisation=0.1] [--pictures=20210]

Runs no step and needs neither a GPU nor data. The floating-point operations are those of the
convolutions and matrix products in the graph of the real training step, forward and backward.
Hours are an estimate: steps times operations, divided by the GPU's peak and the utilisation, the
share of that peak that the run is assumed to reach. `run.epochs` needs --pictures, the number of
training pictures. `data.coded`, whose file is not read, stands for the JAX backend in stage lossy,
which has the labels in its batches.
"""

import functools
from collections.abc import Sequence

from absl import app, flags
from ml_collections import config_flags

from experiments.config_flag import config_of, parse
from smapcomp.jobs.exits import EXIT_USAGE, errors_in_one_line, fail
from smapcomp.keras_startup import import_keras
from smapcomp.training.config import TrainingConfig
from smapcomp.training.errors import ConfigError
from smapcomp.training.run_plan import epochs_message, with_steps_of_epochs
from tools.gpu_times import GPUS, UTILISATION, gpu_table

NAME = "training_cost"


CONFIG = config_flags.DEFINE_config_file("config", None, "File of experiments/configs.")
GPU = flags.DEFINE_enum("gpu", None, sorted(GPUS), "GPU; all of them without the flag.")
SHARE = flags.DEFINE_float(
    "utilisation",
    UTILISATION,
    "Share of the GPU's peak that the run is assumed to reach.",
    lower_bound=1e-6,
    upper_bound=1.0,
)
PICTURES = flags.DEFINE_integer(
    "pictures", None, "Number of training pictures, for run.epochs.", lower_bound=1
)
flags.mark_flag_as_required("config")


def estimate(config: TrainingConfig, names: Sequence[str], share: float) -> str:
    """Return the cost of a configuration as text.

    Args:
        config: Configuration with `run.steps`.
        names: Keys of `GPUS`.
        share: Share of a GPU's peak that is reached, above 0.

    Raises:
        SmapcompError: The stage of the configuration cannot be built.
    """
    # TensorFlow is loaded here, after the command line has been checked.
    import_keras()
    from smapcomp.training.tf_trainer.measured_step import MeasuredStep

    cost = MeasuredStep.from_config(config).cost()
    data, model, steps = config.data, config.model, config.run.steps
    kinds = ", ".join(f"{count / 1e12:.3g} in {kind}" for kind, count in sorted(cost.flops.items()))
    memory = (cost.state_bytes + cost.kept_bytes) / 2**30
    again = ", activations that are computed again" if model.recompute else ""
    return "\n".join(
        (
            f"{model.stage}, {model.variant}, {model.precision}: {steps:,} steps of "
            f"{data.batch_size} picture{'s' * (data.batch_size > 1)} of {data.size}×{data.size}",
            f"Operations of a step: {cost.total_flops / 1e12:.4g} TFLOP, forward and backward "
            f"({kinds}).",
            "Left out: element-wise operations, normalisation, and look-ups of labels.",
            f"Memory of a step: at least {memory:.3g} GiB, {cost.state_bytes / 2**30:.3g} of "
            f"weights and optimizer, {cost.kept_bytes / 2**30:.3g} kept by the forward pass.",
            f"Left out: gradients{again}, temporary memory of operations, TensorFlow's own.",
            f"ESTIMATE at {100 * share:g} % of the GPU's peak, not measured:",
            gpu_table(steps, cost.flops, names, share),
        )
    )


def main(_: Sequence[str]) -> None:
    """Print the estimate of the configuration."""
    with errors_in_one_line(NAME):
        try:
            config = TrainingConfig.from_dict(config_of(CONFIG).to_dict())
        except ConfigError as error:
            fail(NAME, error, EXIT_USAGE)
        if config.run.epochs:
            if PICTURES.value is None:
                fail(NAME, f"config.run.epochs {config.run.epochs} needs --pictures", EXIT_USAGE)
            print(epochs_message(config, PICTURES.value))
            config = with_steps_of_epochs(config, PICTURES.value)
        if not config.run.steps:
            fail(NAME, "config.run.steps 0; hours need steps or epochs", EXIT_USAGE)
        names = [GPU.value] if GPU.value else list(GPUS)
        print(estimate(config, names, SHARE.value))


if __name__ == "__main__":
    app.run(main, flags_parser=functools.partial(parse, NAME, CONFIG))
