"""What each training stage trains, what it holds fixed, its losses and its metrics.

A stage knows nothing of the loop, the data or the device. Its losses are written with
`keras.ops`, so the same stage runs in the TensorFlow loop and in the JAX job.

A batch is a dict of `image`, float `[batch, height, width, 3]` in [-1, 1], and `label_map`, int
`[batch, height, width]` of 0..150. Height and width are multiples of 8.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import keras
from keras import ops

from smapcomp import losses
from smapcomp.models.compnet import SCALE
from smapcomp.models.layers import NUM_CLASSES, quantize, upsample

MSE_FLOOR = 4.0
"""Added to a crop's squared error (of 255) before its logarithm, so that flat crops, which any
network predicts well, don't rule the gradient. Decided here: 42 dB."""


@dataclass(frozen=True)
class Stage:
    """A training stage.

    Attributes:
        name: "stage1", "segmentation", "stage2" or "stage3".
        models: Every network that takes part, by role.
        groups: Optimizer group to the roles that it trains; a role in no group is frozen.
        losses: `losses(batch, training) -> ({group: loss}, {metric: value})`; scalars. A group's
            loss is differentiated for that group's variables only.
    """

    name: str
    models: Mapping[str, keras.Model]
    groups: Mapping[str, tuple[str, ...]]
    losses: callable = field(repr=False)

    def variables(self, group: str) -> list:
        """The variables that a group trains."""
        return [v for role in self.groups[group] for v in self.models[role].trainable_variables]

    def state(self) -> list:
        """Variables of the trained networks that change without a gradient (moving statistics)."""
        roles = [role for group in self.groups.values() for role in group]
        return [v for role in roles for v in self.models[role].non_trainable_variables]


@dataclass(frozen=True)
class Stage1Weights:
    """Weights of the terms of stage 1 (SPEC section 3); a term of weight 0 is not computed.

    Attributes:
        gan: Least-squares adversarial loss.
        feature_matching: Of the discriminator's hidden layers.
        perceptual: Of VGG's features.
        l1: Mean absolute error of values in [-1, 1].
        ssim: Subtracted structural similarity.
        log_mse: 10·log10 of a crop's squared error: minus its PSNR, in dB.
        rate: dB that one bit per pixel of the compact layer is worth.
    """

    gan: float = 1.0
    feature_matching: float = 10.0
    perceptual: float = 10.0
    l1: float = 20.0
    ssim: float = 1.0
    log_mse: float = 0.0
    rate: float = 0.0


LITE_WEIGHTS = Stage1Weights(
    gan=0.0, feature_matching=0.0, perceptual=0.0, l1=0.0, ssim=0.0, log_mse=1.0, rate=2.0
)
"""What the box's weights are trained with: PSNR and the bits of the compact layer against each
other. Decided here: 2 dB/bpp, which lets CompNet spend bits on a better prediction: about 0.05 bpp
more than at 15 dB/bpp for more than 1 dB. What a dB of the prediction saves in the residual layer
(0.04 to 0.05 bpp, measured with plain down-sampling at several steps) would ask for 20 to 25, at
which the prediction gained little over bicubic up-sampling."""

LITE_SIZES = {"stage1": 128, "segmentation": 256, "stage2": 256, "stage3": 128}
"""Side of the crops that the box's weights are trained on, in pixels. Decided here: the segmenter
needs to see whole things, and smaller crops show the codec's networks more pictures in the time."""


def psnr(a, b):
    """Mean over the batch of the PSNR in dB of images in [-1, 1]; 20·log10(2) - 10·log10(MSE)."""
    error = ops.mean(ops.square(a - b), axis=(1, 2, 3))
    return ops.mean(-10.0 * ops.log10(ops.maximum(error, 1e-10) / 4.0))


def predict(finenet, upsampled, label_map, training: bool = False):
    """The decoder's prediction `clip(u + FineNet(s, u))`, float in [-1, 1]."""
    detail = finenet([upsampled, label_map], training=training)
    return ops.clip(upsampled + ops.cast(detail, "float32"), -1.0, 1.0)


def without_labels(label_map, share: float):
    """Sets the label maps of the batch's first `share` to void: what mode `none` gives FineNet."""
    batch = ops.shape(label_map)[0]
    index = ops.reshape(ops.arange(batch), (-1, 1, 1))
    return ops.where(index < int(batch * share), 0, label_map)


def stage1(
    models: Mapping[str, keras.Model],
    weights: Stage1Weights,
    step: int = 1,
    void_share: float = 0.0,
) -> Stage:
    """CompNet and FineNet with the original labels, and the discriminator.

    Args:
        models: `compnet`, `finenet`; `discriminator` if an adversarial term has weight,
            `vgg` if the perceptual one has, `rate` if the rate has.
        weights: Of the loss terms.
        step: Of the compact image's levels.
        void_share: Share of the batch that FineNet sees without labels.
    """
    return Stage(
        "stage1",
        models,
        _stage1_groups(weights),
        _CodecLosses(models, weights, step, lambda _, batch: without_labels(batch, void_share)),
    )


def stage3(
    models: Mapping[str, keras.Model],
    weights: Stage1Weights,
    step: int = 1,
    void_share: float = 0.25,
    sent_share: float = 0.25,
    representation: str = "classes",
) -> Stage:
    """CompNet's and FineNet's fine-tuning on the labels that the decoder will see.

    The first `void_share` of each batch has no labels, the next `sent_share` the original ones,
    the rest those of `segmenter` and `smapnet` from the up-sampled compact image, so that one
    FineNet serves every mode. `representation` is SMapNet's, as in `stage2`.
    """

    def labels(upsampled, label_map):
        mapped = decoder_label_map(models, upsampled, representation)
        batch = ops.shape(label_map)[0]
        index = ops.reshape(ops.arange(batch), (-1, 1, 1))
        sent = int(batch * (void_share + sent_share))
        chosen = ops.where(index < sent, label_map, mapped)
        return without_labels(chosen, void_share)

    groups = _stage1_groups(weights)
    return Stage("stage3", models, groups, _CodecLosses(models, weights, step, labels))


def decoder_label_map(
    models: Mapping[str, keras.Model], upsampled, representation: str = "classes"
):
    """ŝ: the segmenter's label map of `u`, repaired by SMapNet; no gradient.

    Returns:
        int32 `[batch, height, width]`.
    """
    logits = models["segmenter"](upsampled, training=False)
    if representation == "index":
        image = _index_image(_label_ids(logits), models["smapnet"].input_shape[-1])
        ids = _index_ids(models["smapnet"](image, training=False))
    else:
        ids = _label_ids(models["smapnet"](logits, training=False))
    stride = ops.shape(upsampled)[1] // ops.shape(ids)[1]
    return ops.stop_gradient(ops.repeat(ops.repeat(ids, stride, axis=1), stride, axis=2))


def _label_ids(logits):
    return ops.cast(ops.argmax(logits, axis=-1), "int32") + 1


def _index_image(ids, channels: int):
    """SMapNet's `index` input (SPEC section 2): id / 255 in every channel, float32."""
    return ops.repeat(ops.cast(ids, "float32")[..., None] / 255.0, channels, axis=-1)


def _index_ids(image):
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
    """Losses of stages 1 and 3: they differ only in the labels that FineNet sees."""

    def __init__(self, models, weights: Stage1Weights, step: int, finenet_labels):
        self.models = models
        self.weights = weights
        self.step = step
        self.finenet_labels = finenet_labels

    def __call__(self, batch, training: bool = True):
        image, label_map = batch["image"], batch["label_map"]
        compact = self.models["compnet"]([image, label_map], training=training)
        compact, levels = quantize(compact, self.step)
        upsampled = upsample(compact, SCALE)
        seen = self.finenet_labels(upsampled, label_map)
        prediction = predict(self.models["finenet"], upsampled, seen, training)
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
        return result, metrics

    def _terms(self, image, prediction, levels) -> dict:
        weights, terms = self.weights, {}
        if weights.l1:
            terms["l1"] = losses.l1(image, prediction)
        if weights.ssim:
            terms["ssim"] = -losses.ssim(image, prediction)
        if weights.log_mse:
            error = ops.mean(ops.square(image - prediction), axis=(1, 2, 3)) * 127.5**2
            terms["log_mse"] = ops.mean(10.0 * ops.log10(error + MSE_FLOOR))
        if weights.perceptual:
            vgg = self.models["vgg"]
            terms["perceptual"] = losses.perceptual(vgg(image), vgg(prediction))
        if weights.rate:
            bits = self.models["rate"](levels)
            terms["rate"] = ops.mean(ops.sum(bits, axis=-1)) / SCALE**2
        return terms

    def _adversarial(self, label_map, image, prediction):
        discriminator = self.models["discriminator"]
        real = discriminator([image, label_map])
        fake = discriminator([prediction, label_map])
        terms = {}
        if self.weights.gan:
            terms["gan"] = losses.lsgan_generator(fake)
        if self.weights.feature_matching:
            terms["feature_matching"] = losses.feature_matching(real, fake)
        detached = discriminator([ops.stop_gradient(prediction), label_map])
        return terms, losses.lsgan_discriminator(real, detached)


def segmentation(models: Mapping[str, keras.Model], step: int = 1, auxiliary: float = 0.4) -> Stage:
    """The segmenter, on sharp pictures and on up-sampled compact ones.

    In training one half of the batch is up-sampled and the other sharp; the middle picture of an
    odd batch is both. Validation looks at every picture both ways.

    Args:
        models: `segmenter` with its auxiliary head: image to `[logits, auxiliary logits]`;
            `compnet`, frozen, makes the compact images.
        step: Of the compact image's levels.
        auxiliary: Weight of the auxiliary head's loss (SPEC section 2).
    """

    def stage_losses(batch, training: bool = True):
        image, label_map = batch["image"], batch["label_map"]
        count = ops.shape(image)[0]
        part = (count + 1) // 2 if training else count
        first, last = slice(None, part), slice(count - part, None)
        upsampled = _decoder_view(models["compnet"], image[first], label_map[first], step)
        views = ops.concatenate([upsampled, image[last]], axis=0)
        label_map = ops.concatenate([label_map[first], label_map[last]], axis=0)
        logits, auxiliary_logits = models["segmenter"](views, training=training)
        target = _grid_labels(label_map, logits)
        main = losses.softmax_cross_entropy(logits, target)
        side = losses.softmax_cross_entropy(
            auxiliary_logits, _grid_labels(label_map, auxiliary_logits)
        )
        ids = _label_ids(logits)
        metrics = {
            "cross_entropy": main,
            "pixel_accuracy_upsampled": pixel_accuracy(ids[:part], target[:part]),
            "pixel_accuracy": pixel_accuracy(ids[part:], target[part:]),
        }
        return {"segmenter": main + auxiliary * side}, metrics

    return Stage("segmentation", models, {"segmenter": ("segmenter",)}, stage_losses)


def stage2(
    models: Mapping[str, keras.Model], step: int = 1, representation: str = "classes"
) -> Stage:
    """SMapNet: from what the segmenter finds in `u` to its labels of the sharp picture.

    Args:
        models: `smapnet`; `compnet` and `segmenter` (without auxiliary head), frozen.
        step: Of the compact image's levels.
        representation: That `smapnet` was built with. "classes" takes the segmenter's logits and
            minimises the cross-entropy of its own; "index" takes label ids as an image in [0, 1]
            of one or three channels and minimises the squared error to the wanted ids' image.

    Raises:
        ValueError: The representation is unknown.
    """
    repairs = {"classes": _repair_classes, "index": _repair_index}
    if representation not in repairs:
        allowed = ", ".join(repairs)
        raise ValueError(f"representation {representation!r} is unknown; allowed: {allowed}")
    repair = repairs[representation]

    def stage_losses(batch, training: bool = True):
        image, label_map = batch["image"], batch["label_map"]
        upsampled = _decoder_view(models["compnet"], image, label_map, step)
        blurred = ops.stop_gradient(models["segmenter"](upsampled, training=False))
        sharp = _label_ids(models["segmenter"](image, training=False))
        terms, mapped = repair(models["smapnet"], blurred, sharp, training)
        matched, truth = _label_ids(blurred), _grid_labels(label_map, blurred)
        metrics = {
            **terms,
            "agreement_before": pixel_accuracy(matched, sharp),
            "agreement": pixel_accuracy(mapped, sharp),
            "pixel_accuracy_before": pixel_accuracy(matched, truth),
            "pixel_accuracy": pixel_accuracy(mapped, truth),
        }
        (loss,) = terms.values()
        return {"smapnet": loss}, metrics

    return Stage("stage2", models, {"smapnet": ("smapnet",)}, stage_losses)


def _repair_classes(smapnet, blurred, sharp, training: bool):
    """The loss by its name, and the repaired label ids."""
    logits = smapnet(blurred, training=training)
    return {"cross_entropy": losses.softmax_cross_entropy(logits, sharp)}, _label_ids(logits)


def _repair_index(smapnet, blurred, sharp, training: bool):
    """As `_repair_classes`."""
    channels = smapnet.input_shape[-1]
    mapped = smapnet(_index_image(_label_ids(blurred), channels), training=training)
    return {"mse": losses.mse(mapped, _index_image(sharp, channels))}, _index_ids(mapped)


def pixel_accuracy(predicted, label_map):
    """Share of pixels that are not void whose predicted id is their label; float32 scalar."""
    known = label_map > 0
    right = ops.logical_and(known, predicted == ops.cast(label_map, "int32"))
    return ops.sum(ops.cast(right, "float32")) / (ops.sum(ops.cast(known, "float32")) + 1e-6)


def _decoder_view(compnet, image, label_map, step: int):
    compact, _ = quantize(compnet([image, label_map], training=False), step)
    return ops.stop_gradient(upsample(compact, SCALE))


def _grid_labels(label_map, logits):
    """One label for each of the logits' grid cells: the one right of and below its centre."""
    stride = ops.shape(label_map)[1] // ops.shape(logits)[1]
    return label_map[:, stride // 2 :: stride, stride // 2 :: stride]
