"""Learning rates of the configurations against the closed forms of docs/spec.md, section 3."""

import importlib
import math

import keras
import pytest

from smapcomp.training.config_groups import OptimizerConfig
from smapcomp.training.optimizers import ConstantThenLinear, build_optimizer


def _rates(stage, variant, steps, at, **changes):
    config = importlib.import_module(f"experiments.configs.{stage}_{variant}").get_config()
    optimizer_config = OptimizerConfig(**config.optimizer.to_dict() | changes)
    optimizer = build_optimizer(optimizer_config, steps)
    rates = []
    for step in at:
        optimizer.iterations.assign(step)
        rates.append(float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
    return rates, optimizer


def test_papers_stage1_is_adam_at_a_constant_rate_then_a_straight_line_to_zero():
    rates, adam = _rates("stage1", "paper", 150, (0, 99, 100, 125, 150, 200))
    assert rates == pytest.approx([2e-4, 2e-4, 2e-4, 1e-4, 0, 0], abs=1e-10)
    assert isinstance(adam, keras.optimizers.Adam)
    assert (adam.beta_1, adam.beta_2) == (0.5, 0.999)


def test_papers_segmenter_is_momentum_at_a_polynomial_rate():
    rates, sgd = _rates("segmentation", "paper", 1000, (0, 500, 1000))
    assert rates == pytest.approx([0.01, 0.01 * 0.5**0.9, 0], abs=1e-8)
    assert isinstance(sgd, keras.optimizers.SGD)
    assert sgd.momentum == 0.9


def test_papers_stage2_is_adam_at_one_rate():
    rates, adam = _rates("stage2", "paper", 10, (0, 9))
    assert rates == pytest.approx([5e-4, 5e-4])
    assert isinstance(adam, keras.optimizers.Adam)


def test_papers_batches_and_lengths_are_the_published_ones():
    configs = {
        stage: importlib.import_module(f"experiments.configs.{stage}_paper").get_config()
        for stage in ("stage1", "segmentation", "stage2")
    }
    assert [config.data.batch_size for config in configs.values()] == [8, 16, 32]
    for stage in ("stage1", "stage2"):
        config = configs[stage]
        assert config.run.steps * config.data.batch_size / 20_210 == pytest.approx(150, abs=0.01)
    weights = configs["stage1"].loss.weights
    assert (weights.gan, weights.feature_matching, weights.perceptual) == (1, 10, 10)
    assert (weights.l1, weights.ssim, weights.rate, weights.log_mse) == (20, 1, 0, 0)


def test_lite_warms_up_and_follows_a_cosine_to_zero():
    at = (0, 10, 20, 20 + 245, 20 + 490, 1000)
    rates, adam = _rates("stage1", "lite", 1000, at, learning_rate=1e-3)
    cosine = [0.5e-3 * (1 + math.cos(math.pi * share)) for share in (0, 0.25, 0.5, 1)]
    assert rates == pytest.approx([0, 0.5e-3, *cosine], abs=1e-8)
    assert adam.beta_1 == 0.9
    assert adam.global_clipnorm == 1.0


@pytest.mark.parametrize(
    ("stage", "peak"),
    [("stage1", 5e-4), ("segmentation", 5e-4), ("stage2", 1e-4), ("stage3", 2.5e-4)],
)
def test_lite_reaches_each_stages_rate_after_a_fiftieth_of_the_run(stage, peak):
    rates, _ = _rates(stage, "lite", 1000, (0, 20, 1000))
    assert rates == pytest.approx([0, peak, 0], abs=1e-9)


def test_schedule_survives_serialisation():
    schedule = ConstantThenLinear(0.1, 5, 10)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert float(copy(7)) == pytest.approx(0.06)


def test_optimizers_that_do_not_exist_are_refused():
    with pytest.raises(
        ValueError,
        match=r"optimizer.schedule 'step' is not allowed; it must be one of 'constant', ",
    ):
        OptimizerConfig(schedule="step")
    with pytest.raises(
        ValueError, match=r"optimizer.momentum 1.5 is not allowed; it must be in \[0, 1\)"
    ):
        OptimizerConfig(momentum=1.5)
