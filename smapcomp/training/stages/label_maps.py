"""Label maps within a stage: of logits, of SMapNet's index image, and as the decoder finds them."""

from collections.abc import Mapping

import keras
from keras import ops

from smapcomp.design import NUM_CLASSES
from smapcomp.training.stages.replicas import SINGLE_REPLICA, Replicas


def label_ids(logits):
    """Return the most likely label of each cell: int32 1..150, of the logits' height and width."""
    return ops.cast(ops.argmax(logits, axis=-1), "int32") + 1


def index_image(ids, channels: int):
    """Return SMapNet's `index` input (docs/spec.md, section 2), id / 255 in each channel."""
    return ops.repeat(ops.cast(ids, "float32")[..., None] / 255.0, channels, axis=-1)


def index_ids(image):
    """Return the labels that SMapNet's `index` output stands for, int32 0..150, as the decoder."""
    ids = ops.round(ops.mean(image, axis=-1) * 255.0)
    return ops.cast(ops.clip(ids, 0.0, float(NUM_CLASSES)), "int32")


def decoder_label_map(
    models: Mapping[str, keras.Model], upsampled, representation: str = "classes"
):
    """Return the label map that the decoder finds in the up-sampled compact image.

    It is the segmenter's, repaired by SMapNet; no gradient flows through it.

    Args:
        models: `segmenter` and `smapnet`.
        upsampled: The up-sampled compact image, float `[batch, height, width, 3]`.
        representation: SMapNet's: "classes" or "index".

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


def is_first_part(count: int, share: float, replicas: Replicas = SINGLE_REPLICA):
    """Return which of a replica's examples are among the first `share` of the global batch.

    Args:
        count: Number of the replica's examples.
        share: Share of the global batch, in [0, 1].
        replicas: The replicas.

    Returns:
        bool `[count, 1, 1]`.
    """
    positions, total = replicas.positions(count)
    # A little more than the product, whose rounding may fall below a whole number.
    part = ops.cast(ops.floor(ops.cast(total, "float32") * share + 1e-4), "int32")
    return ops.reshape(positions, (-1, 1, 1)) < part


def remove_labels(label_map, share: float, replicas: Replicas = SINGLE_REPLICA):
    """Set the label maps of the batch's first `share` to void, as mode none has them."""
    return ops.where(is_first_part(ops.shape(label_map)[0], share, replicas), 0, label_map)
