"""Trains the lite networks on one accelerator with Keras' JAX backend.

The stages are those of `smapcomp.training.stages`; only the loop differs from the TensorFlow
one: pictures lie in the accelerator's memory, crops are cut inside the compiled step, and the
learning rate follows the share of a *time* budget that is used up, so that a run ends on time.

    KERAS_BACKEND=jax python -m experiments.train_jax --pictures=photos.npz --out=DIR \
        --stage=stage1 --seconds=500

`experiments.pack_pictures` writes the array file. Later stages read what earlier ones wrote to
`--out`: stage1, segmentation, stage2, stage3. JAX is not among the requirements, so that this job
is tried by hand and not by the test suite; what it trains, the stages, is tested there.
"""

import dataclasses
import json
import os
import time

import jax
import jax.numpy as jnp
import keras
import numpy as np
from absl import app, flags, logging

from experiments.pack_pictures import load_pack
from smapcomp.levels import max_level
from smapcomp.models.compnet import build_compnet
from smapcomp.models.discriminator import build_discriminator
from smapcomp.models.finenet import build_finenet
from smapcomp.models.pspnet import build_pspnet
from smapcomp.models.smapnet import build_smapnet
from smapcomp.models.vgg import build_vgg16_features
from smapcomp.models.weights import load_weights, save_weights
from smapcomp.training import label_stages, stages
from smapcomp.training.rate import build_rate_model
from smapcomp.training.settings import (
    LITE_RATES,
    LITE_SIZES,
    LITE_WEIGHTS,
    WARM_UP_SHARE,
    Stage1Weights,
)
from smapcomp.zoo import VARIANTS

FLAGS = flags.FLAGS
flags.DEFINE_string("pictures", None, "Array file of experiments.pack_pictures.", required=True)
flags.DEFINE_string("out", None, "Folder of weights, read and written.", required=True)
flags.DEFINE_enum(
    "stage",
    "stage1",
    ["stage1", "segmentation", "stage2", "stage3", "adversarial"],
    "What to train; `adversarial` is stage3 with all five losses, kept apart as an ablation.",
)
flags.DEFINE_float("seconds", 300, "Time budget, compilation not counted.")
flags.DEFINE_integer("batch", 8, "Crops a step.")
flags.DEFINE_integer("crop", None, "Side of a crop, a multiple of 8; default: the stage's.")
flags.DEFINE_float("learning_rate", None, "Peak rate of Adam; default: the stage's.")
flags.DEFINE_integer("step", VARIANTS["lite"].step, "Step of the compact image's levels, in 1/255.")
flags.DEFINE_float("rate", LITE_WEIGHTS.rate, "dB that one bpp of the compact layer costs.")
flags.DEFINE_bool("bfloat16", False, "Compute all networks but the rate's in bfloat16.")
flags.DEFINE_string("imagenet", None, "Backbone weights of experiments.import_efficientnet.")
flags.DEFINE_string("vgg16", None, "VGG-16 weights, for `adversarial`.")
flags.DEFINE_integer("seed", 0, "Of crops and initial weights.")
flags.DEFINE_integer("max_steps", 0, "Stop after so many steps; 0: only by time.")

EMA_DECAY = 0.999
SETTINGS_OF = {"adversarial": "stage3"}
"""Whose crops and rates a stage without its own uses."""


def _with_policy(build, *args, **kwargs):
    keras.config.set_dtype_policy("mixed_bfloat16" if FLAGS.bfloat16 else "float32")
    try:
        return build(*args, **kwargs)
    finally:
        keras.config.set_dtype_policy("float32")


def _settings() -> str:
    return SETTINGS_OF.get(FLAGS.stage, FLAGS.stage)


def _path(role: str) -> str:
    return os.path.join(FLAGS.out, f"{role}.npz")


def _load_if_present(models: dict, roles) -> None:
    for role in roles:
        if os.path.exists(_path(role)):
            load_weights(models[role], _path(role), partial=role == "segmenter")
            logging.info("%s: weights of %s", role, _path(role))


def build_stage() -> stages.Stage:
    """The stage that the flags ask for, with the weights that are there."""
    models = {"compnet": _with_policy(build_compnet, "lite")}
    name = FLAGS.stage
    if name in ("stage1", "stage3", "adversarial"):
        models["finenet"] = _with_policy(build_finenet, "lite")
        models["rate"] = build_rate_model(max_level(FLAGS.step))
    if name == "segmentation":
        models["segmenter"] = _with_policy(build_pspnet, "efficientnet_lite0", auxiliary=True)
        if FLAGS.imagenet:
            load_weights(models["segmenter"], FLAGS.imagenet, partial=True)
    elif name != "stage1":
        models["segmenter"] = _with_policy(build_pspnet, "efficientnet_lite0")
        models["smapnet"] = _with_policy(build_smapnet, "classes")
    _load_if_present(models, list(models))
    weights = dataclasses.replace(LITE_WEIGHTS, rate=FLAGS.rate)
    if name == "stage1":
        return stages.stage1(models, weights, FLAGS.step, void_share=0.5)
    if name == "segmentation":
        return label_stages.segmentation(models, FLAGS.step)
    if name == "stage2":
        return label_stages.stage2(models, FLAGS.step)
    if name == "stage3":
        return stages.stage3(models, weights, FLAGS.step)
    models["discriminator"] = _with_policy(build_discriminator, "lite")
    models["vgg"] = _with_policy(build_vgg16_features, FLAGS.vgg16)
    weights = dataclasses.replace(Stage1Weights(), rate=FLAGS.rate)
    return stages.stage3(models, weights, FLAGS.step)


def cut(pictures, key, batch: int, crop: int):
    """Random crops on the 8-pixel grid, half of them mirrored, as a batch of a stage.

    Args:
        pictures: `image` uint8 [n, H, W, 3], `labels` uint8 [n, H/8, W/8], `sizes` int [n, 2].
        key: JAX random key.
        batch: Number of crops.
        crop: Side, a multiple of 8.
    """
    keys = jax.random.split(key, 4)
    index = jax.random.randint(keys[0], (batch,), 0, pictures["image"].shape[0])
    room = jnp.maximum(pictures["sizes"][index] - crop, 0) // 8
    start = jnp.floor(jax.random.uniform(keys[1], (batch, 2)) * (room + 1)).astype(jnp.int32)
    mirror = jax.random.bernoulli(keys[2], shape=(batch,))

    def one(i, at, flip):
        image = jax.lax.dynamic_slice(
            pictures["image"], (i, at[0] * 8, at[1] * 8, 0), (1, crop, crop, 3)
        )[0]
        labels = jax.lax.dynamic_slice(
            pictures["labels"], (i, at[0], at[1]), (1, crop // 8, crop // 8)
        )[0]
        image = jnp.where(flip, image[:, ::-1], image)
        labels = jnp.where(flip, labels[:, ::-1], labels)
        return image, labels

    image, labels = jax.vmap(one)(index, start, mirror)
    labels = jnp.repeat(jnp.repeat(labels.astype(jnp.int32), 8, 1), 8, 2)
    return {"image": image.astype(jnp.float32) / 127.5 - 1.0, "label_map": labels}


def cut_scaled(pictures, key, batch: int, crop: int):
    """As `cut`, of pictures scaled by 0.5 to 2 (SPEC section 3), with grey and void beyond them."""
    keys = jax.random.split(key, 4)
    index = jax.random.randint(keys[0], (batch,), 0, pictures["image"].shape[0])
    scale = 2.0 ** jax.random.uniform(keys[1], (batch,), minval=-1.0, maxval=1.0)
    sizes = pictures["sizes"][index]
    room = sizes * scale[:, None] - crop
    offset = -room * jax.random.uniform(keys[2], (batch, 2))
    mirror = jax.random.bernoulli(keys[3], shape=(batch,))
    centres = jnp.arange(crop // 8) * 8 + 4

    def one(i, size, factor, shift, flip):
        image = pictures["image"][i].astype(jnp.float32) / 127.5 - 1.0
        image = jax.image.scale_and_translate(
            image, (crop, crop, 3), (0, 1), jnp.stack([factor, factor]), shift, "linear"
        )
        at = [((centres - shift[a]) / factor / 8).astype(jnp.int32) for a in (0, 1)]
        inside = [(centres > shift[a]) & (at[a] * 8 < size[a]) for a in (0, 1)]
        labels = pictures["labels"][i][at[0].clip(0)][:, at[1].clip(0)]
        labels = jnp.where(inside[0][:, None] & inside[1][None], labels, 0).astype(jnp.int32)
        image = jnp.where(flip, image[:, ::-1], image)
        return image, jnp.where(flip, labels[:, ::-1], labels)

    image, labels = jax.vmap(one)(index, sizes, scale, offset, mirror)
    labels = jnp.repeat(jnp.repeat(labels, 8, 1), 8, 2)
    return {"image": jnp.clip(image, -1.0, 1.0), "label_map": labels}


class Trainer:
    """State of a run, and its compiled step."""

    def __init__(self, stage: stages.Stage, pictures, validation):
        self.stage = stage
        self.groups = {g: stage.variables(g) for g in stage.groups}
        trained = {id(v) for vs in self.groups.values() for v in vs}
        self.moving = [v for v in stage.state() if id(v) not in trained]
        known = trained | {id(v) for v in self.moving}
        models = stage.models.values()
        self.frozen = [v for m in models for v in m.variables if id(v) not in known]
        self.optimizers = {}
        for group, variables in self.groups.items():
            beta = 0.5 if "discriminator" in self.groups else 0.9
            self.optimizers[group] = keras.optimizers.Adam(1.0, beta, global_clipnorm=1.0)
            self.optimizers[group].build(variables)
        self.pictures, self.validation = pictures, validation
        self.state = self._values()
        self.step = jax.jit(self._step, donate_argnums=0)
        self.validate = jax.jit(self._validate)

    def _values(self) -> dict:
        return {
            "train": {g: [jnp.array(v.value) for v in vs] for g, vs in self.groups.items()},
            "ema": {g: [jnp.array(v.value) for v in vs] for g, vs in self.groups.items()},
            "moving": [jnp.array(v.value) for v in self.moving],
            "slots": {
                g: [jnp.array(v.value) for v in o.variables] for g, o in self.optimizers.items()
            },
            "count": jnp.zeros((), jnp.int32),
        }

    def _scope(self, train: dict, moving: list):
        pairs = list(zip(self.moving, moving, strict=True))
        for group, variables in self.groups.items():
            pairs += list(zip(variables, train[group], strict=True))
        return keras.StatelessScope(state_mapping=pairs)

    def _step(self, state, frozen, pictures, key, learning_rate):
        take = cut_scaled if FLAGS.stage in ("segmentation", "stage2") else cut
        crop = FLAGS.crop or LITE_SIZES[_settings()]
        batch = take(pictures, key, FLAGS.batch, crop)
        frozen_pairs = list(zip(self.frozen, frozen, strict=True))
        new = {"train": {}, "ema": {}, "slots": {}, "count": state["count"] + 1}
        for group, variables in self.groups.items():

            def loss_of(values, group=group):
                with self._scope({**state["train"], group: values}, state["moving"]) as scope:
                    for variable, value in frozen_pairs:
                        scope.add_update((variable, value))
                    results, metrics, _ = self.stage.losses(batch)
                moving = [scope.get_current_value(v) for v in self.moving]
                return results[group], (metrics, moving)

            gradient = jax.grad(loss_of, has_aux=True)(state["train"][group])
            gradients, (metrics, new["moving"]) = gradient
            optimizer = self.optimizers[group]
            slots = [
                learning_rate.astype(s.dtype) if v is optimizer._learning_rate else s
                for v, s in zip(optimizer.variables, state["slots"][group], strict=True)
            ]
            values, new["slots"][group] = optimizer.stateless_apply(
                slots, gradients, state["train"][group]
            )
            new["train"][group] = values
            decay = jnp.minimum(EMA_DECAY, (1.0 + state["count"]) / (10.0 + state["count"]))
            new["ema"][group] = [
                decay * e + (1.0 - decay) * v
                for e, v in zip(state["ema"][group], values, strict=True)
            ]
            del variables
        return new, metrics

    def _validate(self, state, frozen, batch):
        with self._scope(state["ema"], state["moving"]) as scope:
            for variable, value in zip(self.frozen, frozen, strict=True):
                scope.add_update((variable, value))
            return self.stage.losses(batch, training=False).metrics

    def validation_metrics(self, frozen) -> dict:
        """Means over the validation pictures of every metric, with the averaged weights."""
        total: dict = {}
        batches = 0
        for start in range(0, len(self.validation["image"]) - 7, 8):
            batch = {k: v[start : start + 8] for k, v in self.validation.items()}
            for name, value in self.validate(self.state, frozen, batch).items():
                total[name] = total.get(name, 0.0) + float(value)
            batches += 1
        return {k: v / batches for k, v in total.items()}

    def save(self) -> None:
        """Writes the averaged weights of every trained network."""
        for group, variables in self.groups.items():
            for variable, value in zip(variables, self.state["ema"][group], strict=True):
                variable.assign(value)
        for variable, value in zip(self.moving, self.state["moving"], strict=True):
            variable.assign(value)
        suffix = "_adversarial" if FLAGS.stage == "adversarial" else ""
        for roles in self.stage.groups.values():
            for role in roles:
                save_weights(self.stage.models[role], _path(role + suffix), leave_out="auxiliary")


def learning_rate(progress: float) -> float:
    """Linear warm-up, then half a cosine to 0; `progress` is the share of the budget used."""
    peak = FLAGS.learning_rate or LITE_RATES[_settings()]
    if progress < WARM_UP_SHARE:
        return peak * progress / WARM_UP_SHARE
    x = min((progress - WARM_UP_SHARE) / (1.0 - WARM_UP_SHARE), 1.0)
    return peak * 0.5 * (1.0 + float(np.cos(np.pi * x)))


def _validation_batch(pictures) -> dict:
    side = 344  # the smallest picture's shorter side is 349
    image = pictures["image"][:, :side, :side].astype(np.float32) / 127.5 - 1.0
    labels = pictures["labels"][:, : side // 8, : side // 8].astype(np.int32)
    return {"image": image, "label_map": labels.repeat(8, 1).repeat(8, 2)}


def main(_):
    keras.utils.set_random_seed(FLAGS.seed)
    os.makedirs(FLAGS.out, exist_ok=True)
    began = time.time()
    training, validation = (load_pack(FLAGS.pictures, s) for s in ("training", "validation"))
    logging.info("%d pictures in %.0f s", len(training["image"]), time.time() - began)
    pictures = {k: jnp.asarray(v) for k, v in training.items()}
    trainer = Trainer(build_stage(), pictures, _validation_batch(validation))
    frozen = [jnp.array(v.value) for v in trainer.frozen]
    key = jax.random.key(FLAGS.seed)
    step, start, logged, history = 0, None, time.time(), []
    while True:
        progress = 0.0 if start is None else (time.time() - start) / FLAGS.seconds
        if progress >= 1.0 or (FLAGS.max_steps and step >= FLAGS.max_steps):
            break
        rate = jnp.asarray(learning_rate(progress), jnp.float32)
        trainer.state, metrics = trainer.step(
            trainer.state, frozen, pictures, jax.random.fold_in(key, step), rate
        )
        step += 1
        if step % 10 == 0 or start is None:
            jax.block_until_ready(trainer.state)
            if start is None:
                logging.info("compiled in %.0f s", time.time() - logged)
                start = logged = time.time()
        if time.time() - logged > 20:
            logged = time.time()
            values = {k: round(float(v), 4) for k, v in metrics.items()}
            if not np.isfinite(list(values.values())).all():
                raise FloatingPointError(f"step {step}: {values}")
            logging.info("step %d, %.0f s: %s", step, time.time() - start, values)
            history.append({"step": step, **values})
            trainer.save()
    trainer.save()
    scores = trainer.validation_metrics(frozen)
    logging.info("%s: %d steps, validation %s", FLAGS.stage, step, scores)
    with open(os.path.join(FLAGS.out, f"{FLAGS.stage}.json"), "w", encoding="utf-8") as file:
        json.dump({"steps": step, "validation": scores, "history": history}, file, indent=1)


if __name__ == "__main__":
    app.run(main)
