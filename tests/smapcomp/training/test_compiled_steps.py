"""Steps compiled by XLA, and steps that compute activations again for the gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from smapcomp.design import max_level
from smapcomp.models.finenet import LiteSize, build_finenet
from smapcomp.models.label_conv import LabelConv2D
from smapcomp.models.layers import InstanceNormalization, LabelStride, SpaceToDepth, conv
from smapcomp.models.precision import recomputed
from smapcomp.models.smapnet import build_smapnet
from smapcomp.models.spatial import (
    AdaptiveAveragePooling2D,
    PadToMultiple,
    ResizeLike,
    UpsampleToGrid,
)
from smapcomp.training.config_groups import LossWeights
from smapcomp.training.layerwise import layerwise
from smapcomp.training.rules import Rules
from smapcomp.training.stages import codec_stages, label_stages
from smapcomp.training.stages.rate_model import build_rate_model
from smapcomp.training.stages.stage_optimizers import build_slots
from smapcomp.training.tf_trainer.step import train_step

STEP = 8
SIDE = 32
ADVERSARIAL = LossWeights(perceptual=0)
PLAIN = LossWeights(gan=0, feature_matching=0, perceptual=0, log_mse=1, rate=2)


def _batch(count=2):
    rng = np.random.default_rng(3)
    image = rng.uniform(-1, 1, (count, SIDE // 8, SIDE // 8, 3)).repeat(8, 1).repeat(8, 2)
    label_map = rng.integers(0, 151, (count, SIDE, SIDE))
    return {"image": tf.constant(image, tf.float32), "label_map": tf.constant(label_map, tf.int32)}


def _compnet():
    """Return a CompNet of few of the real ones' layers, with few filters."""
    image, label_map = keras.Input((None, None, 3)), keras.Input((None, None), dtype="int32")
    x = conv(SpaceToDepth(2)(image), 8, 3, strides=2, name="conv1")
    x = conv(keras.layers.ReLU()(x), 8, 3, strides=2, name="conv2")
    x = x + LabelConv2D(8, 3, padding="reflect", name="labels")(LabelStride(8)(label_map))
    correction = conv(InstanceNormalization()(x), 3, 3, pad="reflect", name="conv3")
    mean = keras.layers.AveragePooling2D(8)(image)
    return keras.Model([image, label_map], keras.layers.Activation("tanh")(mean + correction))


def _codec():
    size = LiteSize(filters=8, blocks=0, tail=((8, 0), (8, 0)))
    return {"compnet": _compnet(), "finenet": build_finenet("lite", size)}


def _discriminator():
    """Return a discriminator of few of the real one's layers, with few filters."""
    image, label_map = keras.Input((None, None, 3)), keras.Input((None, None), dtype="int32")
    first = conv(image, 4, 4, strides=2, name="conv0")
    second = keras.layers.LeakyReLU(0.2)(InstanceNormalization()(first))
    stages_of_scale = [first, second, conv(second, 1, 2, name="conv2")]
    return keras.Model([image, label_map], [stages_of_scale, stages_of_scale])


def _segmenter(auxiliary=False):
    """Return a PSPNet with the real heads' layers on a backbone of one layer."""
    image = keras.Input((None, None, 3))
    x = PadToMultiple(16)(image)
    x = keras.layers.Conv2D(8, 8, strides=8, use_bias=False)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    pooled = ResizeLike()([AdaptiveAveragePooling2D(3)(x), x])
    logits = keras.layers.Conv2D(150, 1)(keras.layers.Concatenate()([x, pooled]))
    outputs = [UpsampleToGrid(8)([logits, image])]
    outputs.append(UpsampleToGrid(8)([keras.layers.Conv2D(150, 1)(x), image]))
    return keras.Model(image, outputs if auxiliary else outputs[0])


def _labels():
    return {"segmenter": _segmenter(), "smapnet": build_smapnet("classes", filters=4, blocks=1)}


def _stage(name, wrap=None):
    """Return a stage on small networks of the real ones' layers, always with the same weights."""
    keras.utils.set_random_seed(1)
    if name == "adversarial":
        models = _codec() | {"discriminator": _discriminator()}
        return codec_stages.stage1(models, ADVERSARIAL, STEP, void_share=0.5, wrap=wrap)
    compnet = {"compnet": _compnet()}
    if name == "segmentation":
        models = compnet | {"segmenter": _segmenter(auxiliary=True)}
        return label_stages.segmentation(models, STEP)
    if name == "stage2":
        return label_stages.stage2(compnet | _labels(), STEP)
    rate = {"rate": build_rate_model(max_level(STEP), 4)}
    return codec_stages.stage3(_codec() | _labels() | rate, PLAIN, STEP)


def _step(stage, **options):
    optimizers = {
        group: layerwise(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), Rules())
        for group in stage.groups
    }
    build_slots(stage, optimizers)
    step = train_step(stage, optimizers, **options)
    values = step(_batch())
    variables = [v.numpy() for group in stage.groups for v in stage.variables(group)]
    return values, variables


@pytest.mark.parametrize("name", ["adversarial", "segmentation", "stage2", "stage3"])
def test_the_step_of_every_stage_compiles_with_xla_and_has_the_same_losses(name):
    stage = _stage(name)
    expected = stage.losses(_batch(), training=True)
    values, _ = _step(stage, jit_compile=True)
    for group, loss in expected.losses.items():
        assert values[f"loss/{group}"] == pytest.approx(float(loss), rel=1e-4)
        assert values[f"gradient_norm/{group}"] > 0
    assert values["pictures"] == 2


def test_activations_that_are_computed_again_give_the_same_step():
    (kept, expected), (again, got) = (
        _step(_stage("adversarial", wrap)) for wrap in (None, recomputed)
    )
    assert kept.keys() == again.keys()
    for name, value in kept.items():
        assert again[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    # Adam's first step is the sign of the gradient, which rounding can turn where it is near 0.
    differing = sum(int((np.abs(a - b) > 1e-5).sum()) for a, b in zip(got, expected, strict=True))
    assert differing < 1e-3 * sum(array.size for array in got)
