"""Layer-wise learning rates against tensorflow-addons and against runs of their own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from smapcomp.models.pspnet import build_pspnet
from smapcomp.models.smapnet import build_smapnet
from smapcomp.training.layerwise import freeze, layerwise
from smapcomp.training.recipes import PAPER_RULES
from smapcomp.training.rules import Rules, RulesError, require_used
from tests.golden import cases
from tests.golden.weights import draw
from tests.helpers.paths import GOLDEN

GOLDEN_FILE = GOLDEN / "layerwise_adam.npz"


def _variables():
    found = {}
    for name, shape in cases.LAYERWISE_SHAPES.items():
        found[name] = keras.Variable(draw(name, shape), name=name.replace("/", "_"))
    return found


def _steps(optimizer, variables, count=cases.LAYERWISE_STEPS, compiled=False):
    """Return the values of the variables after each step with the golden file's gradients."""
    optimizer.name_variables(list(variables))
    optimizer.build(list(variables.values()))
    apply = tf.function(optimizer.apply, jit_compile=True) if compiled else optimizer.apply
    history = {name: [] for name in variables}
    for step in range(count):
        gradients = [tf.constant(cases.layerwise_gradient(name, step)) for name in variables]
        apply(gradients)
        for name, variable in variables.items():
            history[name].append(variable.numpy())
    return {name: np.stack(values) for name, values in history.items()}


@pytest.mark.parametrize("compiled", [False, True])
def test_adam_takes_the_steps_of_tensorflow_addons_multi_optimizer(compiled):
    adam = layerwise(
        keras.optimizers.Adam(cases.LAYERWISE_RATE, epsilon=1e-7), Rules(cases.LAYERWISE_RULES)
    )
    found = _steps(adam, _variables(), compiled=compiled)
    with np.load(GOLDEN_FILE) as golden:
        for name, values in found.items():
            expected = golden[name.replace("/", ".")]
            assert expected.shape[0] == 20
            np.testing.assert_allclose(values, expected, rtol=1e-5, atol=2e-6, err_msg=name)


OPTIMIZERS = {
    "sgd": lambda rate: keras.optimizers.SGD(rate, weight_decay=0.1),
    "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "adam": lambda rate: keras.optimizers.Adam(rate, beta_1=0.5, amsgrad=True),
    "adamw": lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.3),
    "rmsprop": lambda rate: keras.optimizers.RMSprop(rate, momentum=0.5, weight_decay=0.1),
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
    "lion": lambda rate: keras.optimizers.Lion(rate, weight_decay=0.1),
    "lamb": keras.optimizers.Lamb,
    "ftrl": keras.optimizers.Ftrl,
    "muon": keras.optimizers.Muon,
    "adafactor": keras.optimizers.Adafactor,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_variable_moves_as_in_a_run_of_its_own_at_its_rate_decay_included(name):
    rate, build = 0.01, OPTIMIZERS[name]
    found = _steps(layerwise(build(rate), Rules(cases.LAYERWISE_RULES)), _variables(), 5)
    for pattern, multiplier in cases.LAYERWISE_RULES:
        alone = {k: v for k, v in _variables().items() if k in found and _is(pattern, k)}
        optimizer = build(rate * multiplier)
        optimizer.build(list(alone.values()))
        for step in range(5):
            optimizer.apply([tf.constant(cases.layerwise_gradient(k, step)) for k in alone])
        for key, variable in alone.items():
            np.testing.assert_allclose(found[key][-1], variable.numpy(), rtol=2e-5, atol=1e-6)


def _is(pattern, name):
    return Rules(((pattern, 1.0), (f"^(?!.*{pattern.strip('^$')})", 1.0))).match(name) == 0


def test_rates_follow_a_schedule_and_survive_serialisation():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 4)
    sgd = layerwise(keras.optimizers.SGD(schedule), Rules(cases.LAYERWISE_RULES))
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(sgd))
    assert copy.rules == sgd.rules
    first, second = _steps(sgd, _variables(), 3), _steps(copy, _variables(), 3)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_a_scaled_loss_in_float16_keeps_the_rates():
    adam = layerwise(keras.optimizers.Adam(cases.LAYERWISE_RATE), Rules(cases.LAYERWISE_RULES))
    variables = _variables()
    adam.name_variables(list(variables))
    adam.build(list(variables.values()))
    scaled = keras.optimizers.LossScaleOptimizer(adam, initial_scale=1024.0)
    scaled.build(list(variables.values()))
    for step in range(20):
        scaled.apply([1024.0 * cases.layerwise_gradient(name, step) for name in variables])
    with np.load(GOLDEN_FILE) as golden:
        for name, variable in variables.items():
            expected = golden[name.replace("/", ".")][-1]
            np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=2e-6)


def test_smapnets_last_layer_learns_at_a_tenth_and_pspnets_heads_at_ten_times():
    networks = {"stage2": build_smapnet("index"), "segmentation": build_pspnet("resnet50", True)}
    roles = {"stage2": "smapnet", "segmentation": "segmenter"}
    rates = {}
    for stage, network in networks.items():
        names = [f"{roles[stage]}/{v.path}" for v in network.trainable_variables]
        require_used(Rules(PAPER_RULES[stage]), names)
        for name in names:
            multiplier = Rules(PAPER_RULES[stage]).multiplier(name)
            rates.setdefault((stage, multiplier), set()).add(name.split("/")[1])
    assert rates["stage2", 0.1] == {"conv_out"}
    assert "conv_in" in rates["stage2", 1.0]
    heads = rates["segmentation", 10.0]
    layers = {layer.name for layer in networks["segmentation"].layers if layer.trainable_variables}
    assert {"head", "head_bn", "head_logits", "auxiliary", "auxiliary_logits"} <= heads
    assert {"pyramid1", "pyramid6_bn"} <= heads
    assert rates["segmentation", 1.0] == layers - heads
    assert len(heads) == 8 + 3 + 3


def test_frozen_layers_are_not_trained_and_keep_their_statistics():
    layers = keras.layers
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(3, 1, name="stem")(image)
    x = layers.BatchNormalization(name="stem_bn")(x)
    model = keras.Model(image, layers.Conv2D(3, 1, name="top")(x))
    names = {id(v): v.path for v in model.trainable_variables}
    freeze(model, names, Rules((("^stem", None), ("^top/kernel", 1.0), ("^top/bias", None))))
    assert [v.path for v in model.trainable_variables] == ["top/kernel"]
    model(np.ones((2, 4, 4, 3), "f4"), training=True)
    assert not model.get_layer("stem_bn").moving_mean.numpy().any()


def test_rules_that_leave_a_rate_open_are_refused_in_one_line():
    rules = Rules((("^head", 10.0), ("kernel$", 1.0)))
    with pytest.raises(RulesError, match=r"variable head/kernel .* '\^head', 'kernel\$' all match"):
        rules.multiplier("head/kernel")
    with pytest.raises(RulesError, match=r"variable stem/bias needs .* none of '\^head', 'kernel"):
        rules.multiplier("stem/bias")
    with pytest.raises(RulesError, match=r"rule 'kernel\$' matches no variable that is trained"):
        require_used(rules, ["head/bias"])
    for pairs, message in (
        ((("(", 1.0),), "'\\(' is no regular expression"),
        ((("a", 0.0),), "multiplier 0.0; it must be a number above 0, or None"),
        ((("a", "x"),), "multiplier 'x'"),
        (("ab", 1.0), "they are pairs"),
    ):
        with pytest.raises(RulesError, match=message) as caught:
            Rules(pairs)
        assert "\n" not in str(caught.value)
    frozen = layerwise(keras.optimizers.SGD(0.1), Rules(((".", None),)))
    with pytest.raises(RulesError, match="is frozen by its rule"):
        frozen.build([keras.Variable(np.ones(2), name="kernel")])
    with pytest.raises(
        ValueError, match="LossScaleOptimizer wraps an optimizer; apply layerwise to"
    ):
        layerwise(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)), rules)
