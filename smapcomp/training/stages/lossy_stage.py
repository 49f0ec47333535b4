"""Stage lossy: FineNets of compact images that AV1 has coded.

A batch is a dictionary of `image`, float `[batch, height, width, 3]`, and `compact`, float `[batch,
height/scale, width/scale, 3]`, both in [-1, 1], the latter as the decoder has it; `level`, float
`[batch]` in 0..1, which says how coarsely it was coded; optionally `labels_seen`, int `[batch,
height, width]`, the labels that the decoder finds in it; and optionally, for TensorBoard, the true
`label_map` of that shape. Height and width are multiples of 16.
"""

from collections.abc import Mapping

import keras
from keras import ops

from smapcomp.models.layers import upsample
from smapcomp.training.recipes import LOSSY_MSE_FLOOR
from smapcomp.training.stages.label_maps import decoder_label_map, remove_labels
from smapcomp.training.stages.losses import log_mse, psnr
from smapcomp.training.stages.replicas import SINGLE_REPLICA, Replicas, contributions
from smapcomp.training.stages.stage import Outcome, Stage
from smapcomp.zoo import lossy_finenet_role


def lossy(
    models: Mapping[str, keras.Model],
    scale: int,
    void_share: float = 0.25,
    floor: float = LOSSY_MSE_FLOOR,
    representation: str = "classes",
) -> Stage:
    """Return the stage of the FineNet of one compact scale, with the labels of the decoder.

    These are the batch's `labels_seen`, or else what `segmenter` and `smapnet` find in the
    up-sampled compact image `u`. In training the first `void_share` of each batch has no labels, so
    that one FineNet serves mode `none` too; in validation all have them.

    Args:
        models: `finenet_xSCALE`, which is trained; and `segmenter` and `smapnet`, which stay fixed
            and are not needed if batches have `labels_seen`.
        scale: Scale of the compact image: 1, 2, 4 or 8.
        void_share: Share of the batch that FineNet sees without labels.
        floor: Floor of `losses.log_mse`, which is the loss.
        representation: SMapNet's: "classes" or "index".

    Raises:
        ValueError: The scale is another one.
    """
    role = lossy_finenet_role(scale)

    def stage_losses(batch, training: bool = True, replicas: Replicas = SINGLE_REPLICA) -> Outcome:
        image, compact = batch["image"], batch["compact"]
        upsampled = upsample(compact, scale) if scale > 1 else compact
        seen = batch.get("labels_seen")
        if seen is None:
            seen = decoder_label_map(models, upsampled, representation)
        if training:
            seen = remove_labels(seen, void_share, replicas)
        detail = models[role]([upsampled, seen, batch["level"]], training=training)
        prediction = ops.clip(upsampled + ops.cast(detail, "float32"), -1.0, 1.0)
        loss = log_mse(image, prediction, floor)
        predicted, before = psnr(image, prediction), psnr(image, upsampled)
        metrics = {"log_mse": loss, "psnr": predicted, "psnr_upsampled": before}
        metrics["gain_db"] = predicted - before
        outputs = {"original": image, "upsampled": upsampled, "prediction": prediction}
        outputs["labels_seen"] = seen
        if "label_map" in batch:
            outputs["labels"] = batch["label_map"]
        share = replicas.share(ops.shape(image)[0])
        totals = contributions({"finenet": loss}, share)
        return Outcome(totals, contributions(metrics, share), outputs)

    return Stage("lossy", models, {"finenet": (role,)}, stage_losses)
