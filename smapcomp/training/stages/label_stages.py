"""Stages of the label maps: segmentation, which trains the segmenter, and stage 2 for SMapNet."""

from collections.abc import Mapping

import keras
from keras import ops

from smapcomp.design import COMPNET_SCALE
from smapcomp.models.layers import quantize, upsample
from smapcomp.training.stages import losses
from smapcomp.training.stages.label_maps import index_ids, index_image, label_ids
from smapcomp.training.stages.replicas import (
    SINGLE_REPLICA,
    Replicas,
    contribution,
    contributions,
)
from smapcomp.training.stages.stage import Outcome, Stage


def segmentation(models: Mapping[str, keras.Model], step: int = 1, auxiliary: float = 0.4) -> Stage:
    """Return the stage of the segmenter, on sharp pictures and on up-sampled compact ones.

    In training the first half of the batch, rounded up, is up-sampled and the rest sharp. In
    validation the segmenter gets every picture both ways.

    Args:
        models: `segmenter` with its auxiliary head, which maps an image to `[logits, auxiliary
            logits]`; and `compnet`, which stays fixed and makes the compact images.
        step: Step of the compact image's levels in units of 1/255.
        auxiliary: Weight of the auxiliary head's loss (docs/spec.md, section 2).
    """

    def stage_losses(batch, training: bool = True, replicas: Replicas = SINGLE_REPLICA) -> Outcome:
        image, label_map = batch["image"], batch["label_map"]
        count = ops.shape(image)[0]
        upsampled = _upsampled_compact(models["compnet"], image, label_map, step)
        if training:
            positions, total = replicas.positions(count)
            is_upsampled = ops.reshape(positions, (-1, 1, 1)) < (total + 1) // 2
            inputs = ops.where(is_upsampled[..., None], upsampled, image)
        else:
            is_upsampled = ops.reshape(ops.arange(2 * count) < count, (-1, 1, 1))
            inputs = ops.concatenate([upsampled, image], axis=0)
            label_map = ops.concatenate([label_map, label_map], axis=0)
        logits, auxiliary_logits = models["segmenter"](inputs, training=training)
        target = _grid_labels(label_map, logits)
        auxiliary_target = _grid_labels(label_map, auxiliary_logits)
        main, side = (
            contribution(
                losses.softmax_cross_entropy(x, labels), replicas.share(_labelled_pixels(labels))
            )
            for x, labels in ((logits, target), (auxiliary_logits, auxiliary_target))
        )
        ids = label_ids(logits)
        on_upsampled = ops.where(is_upsampled, target, 0)
        on_sharp = ops.where(is_upsampled, 0, target)
        metrics = {
            "cross_entropy": main,
            "pixel_accuracy_upsampled": _accuracy(ids, on_upsampled, replicas),
            "pixel_accuracy": _accuracy(ids, on_sharp, replicas),
        }
        outputs = {"original": image, "upsampled": upsampled}
        if not training:
            outputs |= {"labels": target[count:], "labels_sharp": ids[count:]}
            outputs |= {"labels_upsampled": ids[:count]}
        return Outcome({"segmenter": main + auxiliary * side}, metrics, outputs)

    return Stage("segmentation", models, {"segmenter": ("segmenter",)}, stage_losses)


def stage2(
    models: Mapping[str, keras.Model], step: int = 1, representation: str = "classes"
) -> Stage:
    """Return the stage of SMapNet.

    SMapNet learns to map what the segmenter finds in the up-sampled compact image to its labels of
    the sharp picture.

    Args:
        models: `smapnet`; and `compnet` and `segmenter` (without auxiliary head), which stay fixed.
        step: Step of the compact image's levels in units of 1/255.
        representation: Representation that `smapnet` was built with. "classes" takes the
            segmenter's logits and minimises the cross-entropy of its own. "index" takes label ids
            as an image in [0, 1] of one or three channels and minimises the squared error to the
            image of the sharp picture's ids.

    Raises:
        ValueError: The representation is unknown.
    """
    losses_of = {"classes": _class_loss, "index": _index_loss}
    if representation not in losses_of:
        allowed = ", ".join(losses_of)
        raise ValueError(f"representation {representation!r} is unknown; allowed: {allowed}")
    smapnet_loss = losses_of[representation]

    def stage_losses(batch, training: bool = True, replicas: Replicas = SINGLE_REPLICA) -> Outcome:
        image, label_map = batch["image"], batch["label_map"]
        upsampled = _upsampled_compact(models["compnet"], image, label_map, step)
        logits = ops.stop_gradient(models["segmenter"](upsampled, training=False))
        sharp = label_ids(models["segmenter"](image, training=False))
        terms, mapped = smapnet_loss(models["smapnet"], logits, sharp, training)
        matched, truth = label_ids(logits), _grid_labels(label_map, logits)
        # The segmenter's labels are never void, so all pictures have the same weight.
        terms = contributions(terms, replicas.share(ops.shape(image)[0]))
        metrics = {
            **terms,
            "agreement_before": _accuracy(matched, sharp, replicas),
            "agreement": _accuracy(mapped, sharp, replicas),
            "pixel_accuracy_before": _accuracy(matched, truth, replicas),
            "pixel_accuracy": _accuracy(mapped, truth, replicas),
        }
        (loss,) = terms.values()
        outputs = {"original": image, "upsampled": upsampled, "labels": truth}
        outputs |= {"labels_before": matched, "labels_after": mapped, "labels_sharp": sharp}
        return Outcome({"smapnet": loss}, metrics, outputs)

    return Stage("stage2", models, {"smapnet": ("smapnet",)}, stage_losses)


def _class_loss(smapnet, logits, sharp, training: bool):
    """Return the loss by its name, and SMapNet's label ids."""
    mapped = smapnet(logits, training=training)
    return {"cross_entropy": losses.softmax_cross_entropy(mapped, sharp)}, label_ids(mapped)


def _index_loss(smapnet, logits, sharp, training: bool):
    """Return the loss by its name, and SMapNet's label ids."""
    channels = smapnet.input_shape[-1]
    mapped = smapnet(index_image(label_ids(logits), channels), training=training)
    return {"mse": losses.mse(mapped, index_image(sharp, channels))}, index_ids(mapped)


def _labelled_pixels(label_map):
    """Return the number of pixels that are not void; float32 scalar."""
    return ops.sum(ops.cast(label_map > 0, "float32"))


def _accuracy(predicted, label_map, replicas: Replicas):
    """Return this replica's contribution to the pixel accuracy of the global batch.

    That is the share of the pixels that are not void whose predicted id is their label.
    """
    known = _labelled_pixels(label_map)
    right = ops.logical_and(label_map > 0, predicted == ops.cast(label_map, "int32"))
    accuracy = ops.sum(ops.cast(right, "float32")) / (known + 1e-6)
    return contribution(accuracy, replicas.share(known))


def _upsampled_compact(compnet, image, label_map, step: int):
    compact, _ = quantize(compnet([image, label_map], training=False), step)
    return ops.stop_gradient(upsample(compact, COMPNET_SCALE))


def _grid_labels(label_map, logits):
    """Return a label for each cell of the logits' grid: of the pixel below right of its centre."""
    stride = ops.shape(label_map)[1] // ops.shape(logits)[1]
    return label_map[:, stride // 2 :: stride, stride // 2 :: stride]
