"""Steps of the real networks: compiled by XLA, and with results computed again for the gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from smapcomp.levels import max_level
from smapcomp.models.compnet import build_compnet
from smapcomp.models.discriminator import build_discriminator
from smapcomp.models.finenet import build_finenet
from smapcomp.models.pspnet import build_pspnet
from smapcomp.models.smapnet import build_smapnet
from smapcomp.training import label_stages, stages
from smapcomp.training.layerwise import Rules, layerwise
from smapcomp.training.precision import recomputed
from smapcomp.training.rate import build_rate_model
from smapcomp.training.settings import Stage1Weights
from smapcomp.training.state import build_optimizers
from smapcomp.training.step import train_step

STEP = 8
SIDE = 64
ADVERSARIAL = Stage1Weights(perceptual=0, l1=20, log_mse=1, rate=2)
PLAIN = Stage1Weights(gan=0, feature_matching=0, perceptual=0, log_mse=1, rate=2)


def _batch(count=2):
    rng = np.random.default_rng(3)
    image = rng.uniform(-1, 1, (count, SIDE // 8, SIDE // 8, 3)).repeat(8, 1).repeat(8, 2)
    label_map = rng.integers(0, 151, (count, SIDE, SIDE))
    return {"image": tf.constant(image, tf.float32), "label_map": tf.constant(label_map, tf.int32)}


def _codec():
    models = {"compnet": build_compnet("lite"), "finenet": build_finenet("lite")}
    return models | {"rate": build_rate_model(max_level(STEP), 16)}


def _labels(auxiliary=False):
    models = {"segmenter": build_pspnet("efficientnet_lite0", auxiliary)}
    return models | {"smapnet": build_smapnet("classes")}


def _stage(name, wrap=None):
    """A stage on the lite networks, always with the same weights."""
    keras.utils.set_random_seed(1)
    if name == "adversarial":
        models = _codec() | {"discriminator": build_discriminator("lite")}
        return stages.stage1(models, ADVERSARIAL, STEP, void_share=0.5, wrap=wrap)
    if name == "stage1":
        return stages.stage1(_codec(), PLAIN, STEP, void_share=0.5, wrap=wrap)
    compnet = {"compnet": build_compnet("lite")}
    if name == "segmentation":
        models = compnet | {"segmenter": _labels(True)["segmenter"]}
        return label_stages.segmentation(models, STEP)
    if name == "stage2":
        return label_stages.stage2(compnet | _labels(), STEP)
    return stages.stage3(_codec() | _labels(), PLAIN, STEP)


def _step(stage, **options):
    optimizers = {
        group: layerwise(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), Rules())
        for group in stage.groups
    }
    build_optimizers(stage, optimizers)
    step = train_step(stage, optimizers, **options)
    values = step(_batch())
    variables = [v.numpy() for group in stage.groups for v in stage.variables(group)]
    return values, variables


@pytest.mark.parametrize("name", ["adversarial", "segmentation", "stage2", "stage3"])
def test_the_step_of_every_stage_compiles_with_xla_and_says_the_same(name):
    stage = _stage(name)
    expected = stage.losses(_batch(), training=True)
    values, _ = _step(stage, jit_compile=True)
    for group, loss in expected.losses.items():
        # Dropout draws other numbers when compiled, so that the segmenter's loss is near.
        near = 0.05 if name == "segmentation" else 2e-3
        assert values[f"loss/{group}"] == pytest.approx(float(loss), rel=near)
        assert values[f"gradient_norm/{group}"] > 0
    assert values["pictures"] == 2


def test_results_that_are_computed_again_give_the_same_step():
    (kept, expected), (again, got) = (
        _step(_stage("adversarial", wrap)) for wrap in (None, recomputed)
    )
    assert kept.keys() == again.keys()
    for name, value in kept.items():
        assert again[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    # Adam's first step is the sign of the gradient, which rounding can turn where it is near 0.
    differing = sum(int((np.abs(a - b) > 1e-5).sum()) for a, b in zip(got, expected, strict=True))
    assert differing < 1e-3 * sum(array.size for array in got)
