"""The stages of the label maps: the segmenter's own, and stage 2, which is SMapNet's."""

from collections.abc import Mapping

import keras
from keras import ops

from smapcomp.design import COMPNET_SCALE
from smapcomp.models.layers import quantize, upsample
from smapcomp.training import losses
from smapcomp.training.stages.replicas import ONE, Replicas, contribution
from smapcomp.training.stages.stage import (
    Outcome,
    Stage,
    contributions,
    index_ids,
    index_image,
    label_ids,
)


def segmentation(models: Mapping[str, keras.Model], step: int = 1, auxiliary: float = 0.4) -> Stage:
    """The segmenter, on sharp pictures and on up-sampled compact ones.

    In training the first half of the batch, rounded up, is up-sampled and the rest sharp.
    Validation looks at every picture both ways.

    Args:
        models: `segmenter` with its auxiliary head: image to `[logits, auxiliary logits]`;
            `compnet`, frozen, makes the compact images.
        step: Of the compact image's levels.
        auxiliary: Weight of the auxiliary head's loss (SPEC section 2).
    """

    def stage_losses(batch, training: bool = True, replicas: Replicas = ONE) -> Outcome:
        image, label_map = batch["image"], batch["label_map"]
        count = ops.shape(image)[0]
        upsampled = _decoder_view(models["compnet"], image, label_map, step)
        if training:
            positions, total = replicas.positions(count)
            blurred = ops.reshape(positions, (-1, 1, 1)) < (total + 1) // 2
            views = ops.where(blurred[..., None], upsampled, image)
        else:
            blurred = ops.reshape(ops.arange(2 * count) < count, (-1, 1, 1))
            views = ops.concatenate([upsampled, image], axis=0)
            label_map = ops.concatenate([label_map, label_map], axis=0)
        logits, auxiliary_logits = models["segmenter"](views, training=training)
        target = _grid_labels(label_map, logits)
        side_target = _grid_labels(label_map, auxiliary_logits)
        main, side = (
            contribution(losses.softmax_cross_entropy(x, labels), replicas.share(_known(labels)))
            for x, labels in ((logits, target), (auxiliary_logits, side_target))
        )
        ids = label_ids(logits)
        metrics = {
            "cross_entropy": main,
            "pixel_accuracy_upsampled": _accuracy(ids, ops.where(blurred, target, 0), replicas),
            "pixel_accuracy": _accuracy(ids, ops.where(blurred, 0, target), replicas),
        }
        view = {"original": image, "upsampled": upsampled}
        if not training:
            view |= {"labels": target[count:], "labels_sharp": ids[count:]}
            view |= {"labels_upsampled": ids[:count]}
        return Outcome({"segmenter": main + auxiliary * side}, metrics, view)

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

    def stage_losses(batch, training: bool = True, replicas: Replicas = ONE) -> Outcome:
        image, label_map = batch["image"], batch["label_map"]
        upsampled = _decoder_view(models["compnet"], image, label_map, step)
        blurred = ops.stop_gradient(models["segmenter"](upsampled, training=False))
        sharp = label_ids(models["segmenter"](image, training=False))
        terms, mapped = repair(models["smapnet"], blurred, sharp, training)
        matched, truth = label_ids(blurred), _grid_labels(label_map, blurred)
        # The segmenter's labels are never void, so that every picture counts alike.
        terms = contributions(terms, replicas.share(ops.shape(image)[0]))
        metrics = {
            **terms,
            "agreement_before": _accuracy(matched, sharp, replicas),
            "agreement": _accuracy(mapped, sharp, replicas),
            "pixel_accuracy_before": _accuracy(matched, truth, replicas),
            "pixel_accuracy": _accuracy(mapped, truth, replicas),
        }
        (loss,) = terms.values()
        view = {"original": image, "upsampled": upsampled, "labels": truth}
        view |= {"labels_before": matched, "labels_after": mapped, "labels_sharp": sharp}
        return Outcome({"smapnet": loss}, metrics, view)

    return Stage("stage2", models, {"smapnet": ("smapnet",)}, stage_losses)


def _repair_classes(smapnet, blurred, sharp, training: bool):
    """The loss by its name, and the repaired label ids."""
    logits = smapnet(blurred, training=training)
    return {"cross_entropy": losses.softmax_cross_entropy(logits, sharp)}, label_ids(logits)


def _repair_index(smapnet, blurred, sharp, training: bool):
    """As `_repair_classes`."""
    channels = smapnet.input_shape[-1]
    mapped = smapnet(index_image(label_ids(blurred), channels), training=training)
    return {"mse": losses.mse(mapped, index_image(sharp, channels))}, index_ids(mapped)


def pixel_accuracy(predicted, label_map):
    """Share of pixels that are not void whose predicted id is their label; float32 scalar."""
    right = ops.logical_and(label_map > 0, predicted == ops.cast(label_map, "int32"))
    return ops.sum(ops.cast(right, "float32")) / (_known(label_map) + 1e-6)


def _known(label_map):
    """How many pixels are not void; float32 scalar."""
    return ops.sum(ops.cast(label_map > 0, "float32"))


def _accuracy(predicted, label_map, replicas: Replicas):
    """This replica's contribution to `pixel_accuracy` of the global batch."""
    share = replicas.share(_known(label_map))
    return contribution(pixel_accuracy(predicted, label_map), share)


def _decoder_view(compnet, image, label_map, step: int):
    compact, _ = quantize(compnet([image, label_map], training=False), step)
    return ops.stop_gradient(upsample(compact, COMPNET_SCALE))


def _grid_labels(label_map, logits):
    """One label for each of the logits' grid cells: the one right of and below its centre."""
    stride = ops.shape(label_map)[1] // ops.shape(logits)[1]
    return label_map[:, stride // 2 :: stride, stride // 2 :: stride]
