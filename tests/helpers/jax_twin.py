"""Stage 1 with all its terms on small networks, for any Keras backend; as a program, with JAX.

    KERAS_BACKEND=jax python -m tests.helpers.jax_twin FOLDER

The program reads FOLDER/ROLE.npz and FOLDER/batch.npz. It writes the trained networks after one
step to FOLDER/after/ROLE.npz and the step's values to FOLDER/values.json. FOLDER/errors.json has
the errors of a run that is interrupted, of one that is continued with another seed, and of one that
begins with a weight that is not a number.
"""

import json
import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np

from smapcomp.design import max_level
from smapcomp.models.compnet import build_compnet
from smapcomp.models.discriminator import AveragePool2D
from smapcomp.models.label_conv import LabelConv2D, LabelPool2D
from smapcomp.models.layers import conv, conv_transpose, norm_relu
from smapcomp.training.config_groups import LossWeights, RunConfig
from smapcomp.training.layerwise import layerwise
from smapcomp.training.probe import Probe
from smapcomp.training.recipes import LITE_WEIGHTS
from smapcomp.training.rules import Rules
from smapcomp.training.run_plan import RunPlan
from smapcomp.training.stages import codec_stages
from smapcomp.training.stages.rate_model import build_rate_model
from smapcomp.training.stages.stage import Stage

WEIGHTS = LossWeights(log_mse=LITE_WEIGHTS.log_mse, rate=LITE_WEIGHTS.rate)
"""Weights of the papers' five losses, and of lite's PSNR and rate."""

RATE = 100.0
"""Learning rate, so large that a step's update is much larger than the rounding of the weights."""

SIZE = 32
LEVEL_STEP = 8


def build_models() -> dict[str, keras.Model]:
    """Return lite's CompNet, a rate model, and small networks of the papers' layers."""
    keras.utils.set_random_seed(5)
    return {
        "compnet": _varied(build_compnet("lite")),
        "finenet": _finenet(),
        "discriminator": _discriminator(),
        "vgg": _features(),
        "rate": build_rate_model(max_level(LEVEL_STEP), 16),
    }


def build_stage(models, wrap=None) -> Stage:
    """Return stage 1 with these networks."""
    return codec_stages.stage1(models, WEIGHTS, LEVEL_STEP, void_share=0.5, wrap=wrap)


def build_optimizers(stage) -> dict[str, keras.Optimizer]:
    """Return gradient descent for each group of the stage."""
    return {group: layerwise(keras.optimizers.SGD(RATE), Rules()) for group in stage.groups}


def _varied(model: keras.Model) -> keras.Model:
    """Give kernels of zeros random values.

    With zeros, levels of 8-bit pictures would lie in the middle between two integers.
    """
    rng = np.random.default_rng(7)
    for variable in model.trainable_variables:
        if variable.name == "kernel" and not np.any(keras.ops.convert_to_numpy(variable)):
            variable.assign(rng.normal(0, 0.02, variable.shape))
    return model


def _finenet() -> keras.Model:
    upsampled = keras.Input((None, None, 3), name="upsampled")
    label_map = keras.Input((None, None), dtype="int32", name="label_map")
    x = conv(upsampled, 8, 7, pad="reflect", name="conv0")
    x = x + LabelConv2D(8, 3, padding="reflect", name="labels0")(label_map)
    x = norm_relu(x, name="conv0")
    x = norm_relu(conv(x, 16, 3, strides=2, name="conv1"), name="conv1")
    x = norm_relu(conv_transpose(x, 8, name="up1"), name="up1")
    x = conv(x, 3, 7, pad="reflect", name="conv2")
    outputs = keras.layers.Activation("tanh", name="tanh")(x)
    return keras.Model([upsampled, label_map], outputs, name="finenet_tiny")


def _discriminator() -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    label_map = keras.Input((None, None), dtype="int32", name="label_map")
    scales = []
    half = (AveragePool2D(name="half_image")(image), LabelPool2D(name="half_labels")(label_map))
    for name, (picture, labels) in {"full": (image, label_map), "half": half}.items():
        x = conv(picture, 8, 3, strides=2, name=f"{name}_conv0")
        x = x + LabelConv2D(8, 3, 2, name=f"{name}_labels0")(labels)
        x = keras.layers.LeakyReLU(0.2, name=f"{name}_relu0")(x)
        scales.append([x, conv(x, 1, 3, name=f"{name}_conv1")])
    return keras.Model([image, label_map], scales, name="discriminator_tiny")


def _features() -> keras.Model:
    """Return a network with five feature maps, in the place of VGG."""
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Rescaling(127.5, [20.0, 10.0, 5.0], name="pixels")(image)
    outputs = []
    for i in range(5):
        x = conv(x, 8, 3, strides=min(i + 1, 2), name=f"conv{i}")
        x = keras.layers.ReLU(name=f"relu{i}")(x)
        outputs.append(x)
    return keras.Model(image, outputs, name="features_tiny")


def make_batch() -> dict[str, np.ndarray]:
    """Return uint8 `image` and `label_map`: smooth noisy pictures, and labels in patches."""
    rng = np.random.default_rng(6)
    coarse = rng.integers(40, 200, (4, SIZE // 8, SIZE // 8, 3)).repeat(8, 1).repeat(8, 2)
    image = coarse + rng.integers(-20, 21, (4, SIZE, SIZE, 3))
    label_map = rng.integers(0, 151, (4, SIZE // 4, SIZE // 4)).repeat(4, 1).repeat(4, 2)
    return {"image": image.astype(np.uint8), "label_map": label_map.astype(np.uint8)}


def main(folder: Path) -> None:
    """Write the results that the docstring of the module describes."""
    runner, batch = _one_step(folder)
    errors = {"interrupted": _error(runner, batch, folder / "run", _interrupt)}
    errors["settings"] = _error(runner, batch, folder / "run", dict, seed=2)
    runner.state["weights"]["generator"][0] *= np.nan
    errors["nan"] = _error(runner, batch, folder / "diverged", dict)
    (folder / "errors.json").write_text(json.dumps(errors), encoding="utf-8")


def _one_step(folder: Path):
    import jax
    import jax.numpy as jnp

    from data.batches.jax_batches import as_batch
    from smapcomp.models.weights import load_weights
    from smapcomp.training.jax_trainer.step import StepRunner, recomputed
    from smapcomp.training.stages.networks import save_networks

    stage = build_stage(build_models(), recomputed)
    for role, model in stage.models.items():
        load_weights(model, folder / f"{role}.npz")
    runner = StepRunner(stage, build_optimizers(stage), lambda pictures, _: as_batch(**pictures))
    with np.load(folder / "batch.npz") as arrays:
        batch = {name: jnp.asarray(array) for name, array in arrays.items()}
    values = runner.run_step(batch, jax.random.key(0), 0)
    values = {name: float(value) for name, value in values.items()}
    (folder / "values.json").write_text(json.dumps(values), encoding="utf-8")
    runner.assign_networks()
    save_networks(stage.models, stage.trained_roles(), str(folder / "after"))
    return runner, batch


def _interrupt() -> dict:
    os.kill(os.getpid(), signal.SIGTERM)
    return {}


def _error(runner, batch, workdir: Path, validate, **settings) -> str:
    import jax

    from smapcomp.training.jax_trainer.loop import train

    plan = RunPlan(RunConfig(steps=3), log_every=10, fixed={"seed": 1} | settings)
    probes = [Probe(1, lambda *_: validate())]
    try:
        train(runner, batch, jax.random.key(0), str(workdir), plan, probes)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
