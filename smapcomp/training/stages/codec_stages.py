"""Stages 1 and 3, which train CompNet and FineNet.

Data flow: image -> CompNet -> quantised compact image -> up-sampled `u` -> FineNet, with a label
map -> prediction. The stages differ only in the label map: stage 1 has the original one, stage 3
mostly the one that the decoder finds in `u`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from smapcomp.design import COMPNET_SCALE
from smapcomp.models.layers import quantize, upsample
from smapcomp.training.config_groups import LossWeights
from smapcomp.training.recipes import MSE_FLOOR
from smapcomp.training.stages import losses
from smapcomp.training.stages.label_maps import decoder_label_map, is_first_part, remove_labels
from smapcomp.training.stages.replicas import SINGLE_REPLICA, Replicas, contributions
from smapcomp.training.stages.stage import Outcome, Stage

Network = Callable[..., Any]
Wrap = Callable[[keras.Model], Network]

STATELESS_ROLES = ("compnet", "finenet", "discriminator", "vgg")
"""Large networks without a state, through which gradients flow: their activations can be computed
again in the backward pass instead of being kept."""


def stage1(
    models: Mapping[str, keras.Model],
    weights: LossWeights,
    step: int = 1,
    void_share: float = 0.0,
    floor: float = MSE_FLOOR,
    wrap: Wrap | None = None,
) -> Stage:
    """Return the stage of CompNet and FineNet with the original labels, and the discriminator.

    Args:
        models: `compnet` and `finenet`; `discriminator` if an adversarial term has a weight, `vgg`
            if the perceptual one has, `rate` if the rate has.
        weights: Weights of the loss terms.
        step: Step of the compact image's levels in units of 1/255.
        void_share: Share of the batch that FineNet sees without labels.
        floor: Floor of `losses.log_mse`.
        wrap: Function that wraps each large network, such as `precision.recomputed`.
    """

    def finenet_labels(_, label_map, replicas):
        return remove_labels(label_map, void_share, replicas)

    stage_losses = _CodecLosses(models, weights, step, floor, finenet_labels, wrap)
    return Stage("stage1", models, _groups(weights), stage_losses)


def stage3(
    models: Mapping[str, keras.Model],
    weights: LossWeights,
    step: int = 1,
    void_share: float = 0.25,
    sent_share: float = 0.25,
    representation: str = "classes",
    floor: float = MSE_FLOOR,
    wrap: Wrap | None = None,
) -> Stage:
    """Return the stage that tunes CompNet and FineNet to the labels of the decoder.

    The first `void_share` of each batch has no labels, the next `sent_share` the original ones, the
    rest those that `segmenter` and `smapnet` find in the up-sampled compact image. So one FineNet
    serves every mode.

    Args:
        models: As `stage1` takes them, and `segmenter` and `smapnet`, which stay fixed.
        weights: Weights of the loss terms.
        step: Step of the compact image's levels in units of 1/255.
        void_share: Share of the batch without labels.
        sent_share: Share of the batch with the original labels.
        representation: SMapNet's: "classes" or "index".
        floor: Floor of `losses.log_mse`.
        wrap: As `stage1` takes it.
    """

    def finenet_labels(upsampled, label_map, replicas):
        mapped = decoder_label_map(models, upsampled, representation)
        sent = is_first_part(ops.shape(label_map)[0], void_share + sent_share, replicas)
        return remove_labels(ops.where(sent, label_map, mapped), void_share, replicas)

    stage_losses = _CodecLosses(models, weights, step, floor, finenet_labels, wrap)
    return Stage("stage3", models, _groups(weights), stage_losses)


def _groups(weights: LossWeights) -> dict[str, tuple[str, ...]]:
    generator = ("compnet", "finenet") + (("rate",) if weights.rate else ())
    groups = {"generator": generator}
    if weights.adversarial:
        groups["discriminator"] = ("discriminator",)
    return groups


def _predict(finenet, upsampled, label_map, training: bool = False):
    """Return the decoder's prediction `clip(u + FineNet(u, s))`, float in [-1, 1]."""
    detail = finenet([upsampled, label_map], training=training)
    return ops.clip(upsampled + ops.cast(detail, "float32"), -1.0, 1.0)


class _CodecLosses:
    """Losses of stages 1 and 3.

    Every term is a mean over pictures of one size, so that a replica's share is its share of the
    pictures.
    """

    def __init__(self, models, weights: LossWeights, step: int, floor, finenet_labels, wrap):
        self.networks = dict(models)
        for role in STATELESS_ROLES if wrap else ():
            if role in models:
                self.networks[role] = wrap(models[role])
        self.weights = weights
        self.step = step
        self.floor = floor
        self.finenet_labels = finenet_labels

    def __call__(
        self, batch, training: bool = True, replicas: Replicas = SINGLE_REPLICA
    ) -> Outcome:
        image, label_map = batch["image"], batch["label_map"]
        compact = self.networks["compnet"]([image, label_map], training=training)
        compact, levels = quantize(compact, self.step)
        upsampled = upsample(compact, COMPNET_SCALE)
        seen = self.finenet_labels(upsampled, label_map, replicas)
        prediction = _predict(self.networks["finenet"], upsampled, seen, training)
        terms = self._terms(image, prediction, levels)
        totals = {}
        if self.weights.adversarial:
            adversarial, totals["discriminator"] = self._adversarial(seen, image, prediction)
            terms.update(adversarial)
        total = 0.0
        for name, value in terms.items():
            total = total + getattr(self.weights, name) * value
        totals["generator"] = total
        metrics = {
            **terms,
            "psnr": losses.psnr(image, prediction),
            "psnr_upsampled": losses.psnr(image, upsampled),
        }
        share = replicas.share(ops.shape(image)[0])
        outputs = {"original": image, "upsampled": upsampled, "prediction": prediction}
        outputs |= {"levels": levels, "labels": label_map, "labels_seen": seen}
        return Outcome(contributions(totals, share), contributions(metrics, share), outputs)

    def _terms(self, image, prediction, levels) -> dict:
        weights, terms = self.weights, {}
        if weights.l1:
            terms["l1"] = losses.l1(image, prediction)
        if weights.ssim:
            terms["ssim"] = -losses.ssim(image, prediction)
        if weights.log_mse:
            terms["log_mse"] = losses.log_mse(image, prediction, self.floor)
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
