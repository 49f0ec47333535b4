"""What a training stage trains, what it holds fixed, its losses and its metrics: stages 1 and 3.

A stage knows nothing of the loop, the data or the device. Its losses are written with
`keras.ops`, so the same stage runs in the TensorFlow loop and in the JAX job.

A batch is a dict of `image`, float `[batch, height, width, 3]` in [-1, 1], and `label_map`, int
`[batch, height, width]` of 0..150. Height and width are multiples of 8. It may be one replica's
part of a larger batch (`smapcomp.training.stages.replicas`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras
from keras import ops

from smapcomp.design import COMPNET_SCALE, NUM_CLASSES
from smapcomp.models.layers import quantize, upsample
from smapcomp.training import losses
from smapcomp.training.settings import MSE_FLOOR, Stage1Weights
from smapcomp.training.stages.replicas import ONE, Replicas, contribution

Network = Callable[..., Any]
Wrap = Callable[[keras.Model], Network]


class Outcome(NamedTuple):
    """What a stage makes of a batch.

    Attributes:
        losses: Optimizer group to its loss, a float32 scalar; differentiated for that group's
            variables only. It and the metrics are contributions of one replica, to be added up.
        metrics: Curve to a float32 scalar.
        view: What a human looks at, and what scores of whole sets are taken from: `original`,
            `upsampled` and `prediction`, float `[batch, height, width, 3]`; `levels` of the
            compact image, `[batch, height/8, width/8, 3]`; `labels`, the true ones, and
            `labels_seen`, `labels_before`, ..., int32 `[batch, h, w]`, one size within a batch.
    """

    losses: dict
    metrics: dict
    view: dict


@dataclass(frozen=True)
class Stage:
    """A training stage.

    Attributes:
        name: "stage1", "segmentation", "stage2", "stage3" or "lossy".
        models: Every network that takes part, by role.
        groups: Optimizer group to the roles that it trains; a role in no group is frozen.
        losses: `losses(batch, training=True, replicas=ONE) -> Outcome`.
    """

    name: str
    models: Mapping[str, keras.Model]
    groups: Mapping[str, tuple[str, ...]]
    losses: Callable[..., Outcome] = field(repr=False)

    def trained_roles(self) -> list[str]:
        """The roles of the networks that are trained, in the order of the groups."""
        return [role for roles in self.groups.values() for role in roles]

    def names(self, group: str) -> list[str]:
        """What rules call the variables of `variables(group)`: "ROLE/LAYER/VARIABLE"."""
        return [
            f"{role}/{variable.path}"
            for role in self.groups[group]
            for variable in self.models[role].trainable_variables
        ]

    def variables(self, group: str) -> list:
        """The variables that a group trains."""
        return [v for role in self.groups[group] for v in self.models[role].trainable_variables]

    def state(self) -> list:
        """Variables of the trained networks that change without a gradient (moving statistics)."""
        return [
            v for role in self.trained_roles() for v in self.models[role].non_trainable_variables
        ]


LARGE_ROLES = ("compnet", "finenet", "discriminator", "vgg")
"""The networks that gradients of stages 1 and 3 flow through and that have no state: what can be
computed again in the backward pass instead of being kept."""


def psnr(a, b):
    """Mean over the batch of the PSNR in dB of images in [-1, 1]; 20·log10(2) - 10·log10(MSE)."""
    error = ops.mean(ops.square(a - b), axis=(1, 2, 3))
    return ops.mean(-10.0 * ops.log10(ops.maximum(error, 1e-10) / 4.0))


def log_mse(image, prediction, floor: float):
    """Mean over the batch of 10·log10(squared error + floor): minus the PSNR, but for a constant.

    The error is that of values of 0..255. The floor keeps flat crops, which any network predicts
    well, from ruling the gradient.
    """
    error = ops.mean(ops.square(image - prediction), axis=(1, 2, 3)) * 127.5**2
    return ops.mean(10.0 * ops.log10(error + floor))


def predict(finenet, upsampled, label_map, training: bool = False):
    """The decoder's prediction `clip(u + FineNet(s, u))`, float in [-1, 1]."""
    detail = finenet([upsampled, label_map], training=training)
    return ops.clip(upsampled + ops.cast(detail, "float32"), -1.0, 1.0)


def first_part(count: int, share: float, replicas: Replicas = ONE):
    """Which of a replica's pictures are of the first `share` of the global batch.

    Returns:
        bool `[count, 1, 1]`.
    """
    positions, total = replicas.positions(count)
    # A little more than the product, whose rounding may fall below a whole number.
    part = ops.cast(ops.floor(ops.cast(total, "float32") * share + 1e-4), "int32")
    return ops.reshape(positions, (-1, 1, 1)) < part


def without_labels(label_map, share: float, replicas: Replicas = ONE):
    """Sets the label maps of the batch's first `share` to void: what mode `none` gives FineNet."""
    return ops.where(first_part(ops.shape(label_map)[0], share, replicas), 0, label_map)


def stage1(
    models: Mapping[str, keras.Model],
    weights: Stage1Weights,
    step: int = 1,
    void_share: float = 0.0,
    floor: float = MSE_FLOOR,
    wrap: Wrap | None = None,
) -> Stage:
    """CompNet and FineNet with the original labels, and the discriminator.

    Args:
        models: `compnet`, `finenet`; `discriminator` if an adversarial term has weight,
            `vgg` if the perceptual one has, `rate` if the rate has.
        weights: Of the loss terms.
        step: Of the compact image's levels.
        void_share: Share of the batch that FineNet sees without labels.
        floor: Of `log_mse`.
        wrap: What the networks are called through, such as `precision.recomputed`.
    """

    def labels(_, label_map, replicas):
        return without_labels(label_map, void_share, replicas)

    losses_of_batch = _CodecLosses(models, weights, step, floor, labels, wrap)
    return Stage("stage1", models, _stage1_groups(weights), losses_of_batch)


def stage3(
    models: Mapping[str, keras.Model],
    weights: Stage1Weights,
    step: int = 1,
    void_share: float = 0.25,
    sent_share: float = 0.25,
    representation: str = "classes",
    floor: float = MSE_FLOOR,
    wrap: Wrap | None = None,
) -> Stage:
    """CompNet's and FineNet's fine-tuning on the labels that the decoder will see.

    The first `void_share` of each batch has no labels, the next `sent_share` the original ones,
    the rest those of `segmenter` and `smapnet` from the up-sampled compact image, so that one
    FineNet serves every mode. `representation` is SMapNet's, as in `stage2`; `floor` and
    `wrap` as in `stage1`.
    """

    def labels(upsampled, label_map, replicas):
        mapped = decoder_label_map(models, upsampled, representation)
        sent = first_part(ops.shape(label_map)[0], void_share + sent_share, replicas)
        return without_labels(ops.where(sent, label_map, mapped), void_share, replicas)

    losses_of_batch = _CodecLosses(models, weights, step, floor, labels, wrap)
    return Stage("stage3", models, _stage1_groups(weights), losses_of_batch)


def decoder_label_map(
    models: Mapping[str, keras.Model], upsampled, representation: str = "classes"
):
    """ŝ: the segmenter's label map of `u`, repaired by SMapNet; no gradient.

    Returns:
        int32 `[batch, height, width]`.
    """
    logits = models["segmenter"](upsampled, training=False)
    if representation == "index":
        image = index_image(label_ids(logits), models["smapnet"].input_shape[-1])
        ids = index_ids(models["smapnet"](image, training=False))
    else:
        ids = label_ids(models["smapnet"](logits, training=False))
    stride = ops.shape(upsampled)[1] // ops.shape(ids)[1]
    return ops.stop_gradient(ops.repeat(ops.repeat(ids, stride, axis=1), stride, axis=2))


def label_ids(logits):
    """The likeliest label of each cell, int32 1..150."""
    return ops.cast(ops.argmax(logits, axis=-1), "int32") + 1


def index_image(ids, channels: int):
    """SMapNet's `index` input (SPEC section 2): id / 255 in every channel, float32."""
    return ops.repeat(ops.cast(ids, "float32")[..., None] / 255.0, channels, axis=-1)


def index_ids(image):
    """The labels that SMapNet's `index` output means, as the decoder reads it; int32 0..150."""
    ids = ops.round(ops.mean(image, axis=-1) * 255.0)
    return ops.cast(ops.clip(ids, 0.0, float(NUM_CLASSES)), "int32")


def _stage1_groups(weights: Stage1Weights) -> dict[str, tuple[str, ...]]:
    generator = ("compnet", "finenet") + (("rate",) if weights.rate else ())
    groups = {"generator": generator}
    if weights.gan or weights.feature_matching:
        groups["discriminator"] = ("discriminator",)
    return groups


class _CodecLosses:
    """Losses of stages 1 and 3: they differ only in the labels that FineNet sees.

    Every term is a mean over pictures of one size, so that a replica's share is that of pictures.
    """

    def __init__(self, models, weights: Stage1Weights, step: int, floor, finenet_labels, wrap):
        self.networks = dict(models)
        for role in LARGE_ROLES if wrap else ():
            if role in models:
                self.networks[role] = wrap(models[role])
        self.weights = weights
        self.step = step
        self.floor = floor
        self.finenet_labels = finenet_labels

    def __call__(self, batch, training: bool = True, replicas: Replicas = ONE) -> Outcome:
        image, label_map = batch["image"], batch["label_map"]
        compact = self.networks["compnet"]([image, label_map], training=training)
        compact, levels = quantize(compact, self.step)
        upsampled = upsample(compact, COMPNET_SCALE)
        seen = self.finenet_labels(upsampled, label_map, replicas)
        prediction = predict(self.networks["finenet"], upsampled, seen, training)
        terms = self._terms(image, prediction, levels)
        result = {}
        if self.weights.gan or self.weights.feature_matching:
            adversarial, result["discriminator"] = self._adversarial(seen, image, prediction)
            terms.update(adversarial)
        total = 0.0
        for name, value in terms.items():
            total = total + getattr(self.weights, name) * value
        result["generator"] = total
        metrics = {
            **terms,
            "psnr": psnr(image, prediction),
            "psnr_upsampled": psnr(image, upsampled),
        }
        share = replicas.share(ops.shape(image)[0])
        view = {"original": image, "upsampled": upsampled, "prediction": prediction}
        view |= {"levels": levels, "labels": label_map, "labels_seen": seen}
        return Outcome(contributions(result, share), contributions(metrics, share), view)

    def _terms(self, image, prediction, levels) -> dict:
        weights, terms = self.weights, {}
        if weights.l1:
            terms["l1"] = losses.l1(image, prediction)
        if weights.ssim:
            terms["ssim"] = -losses.ssim(image, prediction)
        if weights.log_mse:
            terms["log_mse"] = log_mse(image, prediction, self.floor)
        if weights.perceptual:
            vgg = self.networks["vgg"]
            terms["perceptual"] = losses.perceptual(vgg(image), vgg(prediction))
        if weights.rate:
            bits = self.networks["rate"](levels)
            terms["rate"] = ops.mean(ops.sum(bits, axis=-1)) / COMPNET_SCALE**2
        return terms

    def _adversarial(self, label_map, image, prediction):
        discriminator = self.networks["discriminator"]
        real = discriminator([image, label_map])
        fake = discriminator([prediction, label_map])
        terms = {}
        if self.weights.gan:
            terms["gan"] = losses.lsgan_generator(fake)
        if self.weights.feature_matching:
            terms["feature_matching"] = losses.feature_matching(real, fake)
        detached = discriminator([ops.stop_gradient(prediction), label_map])
        return terms, losses.lsgan_discriminator(real, detached)


def contributions(means: Mapping, share) -> dict:
    """`contribution` of each of several means."""
    return {name: contribution(mean, share) for name, mean in means.items()}
