"""Check the command line of a training job as the job does, and train nothing.

    python -m tests.helpers.config_check --config=experiments/configs/stage1_lite.py --workdir=DIR

The flags are those of `experiments.train`. Exit status: 0 if the configuration can be built.
"""

from absl import app

from experiments import train
from experiments.config_flag import config_of
from smapcomp.training.config import TrainingConfig


def main(_) -> None:
    config = TrainingConfig.from_dict(config_of(train.CONFIG).to_dict())
    run = config.run
    length = f"{run.epochs:g} epochs" if run.epochs else f"{run.steps} steps"
    print(f"{config.model.stage} {config.model.variant}: {length}")


if __name__ == "__main__":
    app.run(main, flags_parser=train.parse)
