"""The stage of the lossy FineNets: from a compact image that AV1 has coded to the picture.

A batch is a dict of `image`, float `[batch, height, width, 3]`, and `compact`, float `[batch,
height/scale, width/scale, 3]`, both in [-1, 1], the latter as the decoder has it; `level`, float
`[batch]` in 0..1, how coarsely it was coded; perhaps `labels_seen`, int `[batch, height, width]`,
the labels that the decoder finds in it; and, for people to look at, perhaps `label_map` of that
shape. Height and width are multiples of 16.
"""

from collections.abc import Mapping

import keras
from keras import ops

from smapcomp.models.layers import upsample
from smapcomp.training.stages.replicas import ONE, Replicas
from smapcomp.training.stages.stage import (
    Outcome,
    Stage,
    contributions,
    decoder_label_map,
    log_mse,
    psnr,
    without_labels,
)
from smapcomp.zoo import lossy_role


def lossy(
    models: Mapping[str, keras.Model],
    scale: int,
    void_share: float = 0.25,
    floor: float = 1.0,
    representation: str = "classes",
) -> Stage:
    """The FineNet of one compact scale, on the labels that the decoder will see.

    Those are the batch's `labels_seen` or else what `segmenter` and `smapnet` find in the
    up-sampled compact image `u`. In training the first `void_share` of each batch has none, so that
    one FineNet serves mode `none` too; validation always has them.

    Args:
        models: `finenet_xSCALE`, trained; `segmenter` and `smapnet`, frozen, unless batches bring
            `labels_seen`.
        scale: Of the compact image: 1, 2, 4 or 8.
        void_share: Share of the batch that FineNet sees without labels.
        floor: Of `stages.log_mse`, the loss.
        representation: SMapNet's, as in `label_stages.stage2`.

    Raises:
        ValueError: The scale is another one.
    """
    role = lossy_role(scale)

    def stage_losses(batch, training: bool = True, replicas: Replicas = ONE) -> Outcome:
        image, compact = batch["image"], batch["compact"]
        upsampled = upsample(compact, scale) if scale > 1 else compact
        seen = batch.get("labels_seen")
        if seen is None:
            seen = decoder_label_map(models, upsampled, representation)
        if training:
            seen = without_labels(seen, void_share, replicas)
        detail = models[role]([upsampled, seen, batch["level"]], training=training)
        prediction = ops.clip(upsampled + ops.cast(detail, "float32"), -1.0, 1.0)
        loss = log_mse(image, prediction, floor)
        found, before = psnr(image, prediction), psnr(image, upsampled)
        metrics = {"log_mse": loss, "psnr": found, "psnr_upsampled": before}
        metrics["gain_db"] = found - before
        view = {"original": image, "upsampled": upsampled, "prediction": prediction}
        view["labels_seen"] = seen
        if "label_map" in batch:
            view["labels"] = batch["label_map"]
        share = replicas.share(ops.shape(image)[0])
        return Outcome(contributions({"finenet": loss}, share), contributions(metrics, share), view)

    return Stage("lossy", models, {"finenet": (role,)}, stage_losses)
