"""What the networks in training are worth in the real codec: bits of files, not estimates."""

from collections.abc import Callable, Mapping

import keras
import numpy as np

from smapcomp import metrics
from smapcomp.codec import api
from smapcomp.codec.bitstream.container import unpack
from smapcomp.design import weights_digest
from smapcomp.predictors.keras_predictor import KerasPredictor
from smapcomp.training.probes.pictures import panels
from smapcomp.training.stages.stage import Stage
from smapcomp.training.tf_trainer.loop import Probe
from smapcomp.training.tf_trainer.summaries import Summaries
from smapcomp.zoo import Variant

QUALITY = 40
"""Of the coded pictures: the middle of the model card's three."""

MODES = {"stage1": "sent", "stage3": "mapped"}
"""By stage: where the labels come from that FineNet was trained on."""


class _TrainingNetworks:
    """Copies of a stage's networks that compute in float32, as the codec does.

    Attributes:
        variant: As `zoo.Networks` has it; the networks are attributes by their roles.
    """

    def __init__(self, variant: Variant, copies: Mapping[str, keras.Model]):
        self.variant = variant
        self._digest = bytes(8)
        self._copies = dict(copies)
        vars(self).update(copies)

    def digest(self, _: str) -> bytes:
        """Of the weights that the decoder needs, 8 bytes."""
        return self._digest

    def update(self, models: Mapping[str, keras.Model]) -> None:
        """Takes the present weights over."""
        for role, copy in self._copies.items():
            for own, variable in zip(copy.weights, models[role].weights, strict=True):
                own.assign(variable.numpy())
        self._digest = weights_digest(
            {
                f"{role}/{index:04}": variable.numpy()
                for role in ("finenet", "segmenter", "smapnet")
                for index, variable in enumerate(getattr(self._copies.get(role), "weights", ()))
            }
        )


class _GivenLabels(KerasPredictor):
    """A predictor without a segmenter, for stage 1: the picture's own labels are given."""

    labels: np.ndarray

    def _segment(self, signal, repair: bool = False) -> np.ndarray:
        height, width = (side // self.variant.label_stride for side in signal.shape[1:3])
        if self.labels.shape != (height, width):
            raise ValueError(f"labels of shape {self.labels.shape} for a grid of {height}x{width}")
        return self.labels


def coding(
    stage: Stage,
    build_copies: Callable[[], Mapping[str, keras.Model]],
    variant: Variant,
    batch: Mapping[str, np.ndarray],
    every: int,
    quality: int = QUALITY,
) -> Probe:
    """A probe that compresses and decompresses pictures by the networks in training.

    Its curves are means over the pictures: `codec/bpp` of whole streams, `codec/compact_bpp` and
    `codec/residual_bpp` of these layers, `codec/psnr` of the decoded pictures,
    `codec/prediction_psnr` of what the networks predicted, and `codec/ms_ssim` if pictures have
    161 pixels a side or more.

    Args:
        stage: Stage 1, whose labels are then the given ones and sent in the stream, or stage 3,
            whose decoder finds them by itself.
        build_copies: Builds `compnet` and `finenet`, for stage 3 `segmenter` and `smapnet` too, in
            float32; called once.
        variant: Of the networks.
        batch: The pictures, as a stage takes them, in NumPy; sides of at least 32.
        every: In steps.
        quality: Of the residual layer, 0..100.

    Raises:
        ValueError: The stage is another one.
    """
    if stage.name not in MODES:
        raise ValueError(f"stage {stage.name!r} makes no pictures; allowed: {', '.join(MODES)}")
    predictor: KerasPredictor | None = None
    originals = panels({"original": np.asarray(batch["image"])})["original"]
    stride = variant.label_stride
    grids = np.asarray(batch["label_map"])[:, stride // 2 :: stride, stride // 2 :: stride]

    def run(_: int, __: Summaries) -> dict[str, float]:
        nonlocal predictor
        if predictor is None:
            networks = _TrainingNetworks(variant, build_copies())
            predictor = (_GivenLabels if stage.name == "stage1" else KerasPredictor)(networks)
        predictor.networks.update(stage.models)
        rows = []
        for original, labels in zip(originals, grids, strict=True):
            predictor.labels = labels.astype(np.uint8)
            rows.append(_measure(predictor, original, quality, MODES[stage.name]))
        return {f"codec/{name}": float(np.mean([row[name] for row in rows])) for name in rows[0]}

    return Probe(every, run, chief_only=True)


def _measure(predictor: KerasPredictor, original: np.ndarray, quality: int, mode: str) -> dict:
    # The papers' design, which is what these stages train.
    data = api.compress(
        original, predictor=predictor, quality=quality, mode=mode, compact_coder="jxl"
    )
    stream = unpack(data)
    decoded = api.decode_stages(data, predictor=predictor)
    height, width, _ = original.shape
    scores = {
        "bpp": metrics.bits_per_pixel(len(data), width, height),
        "psnr": metrics.psnr(original, decoded.reconstruction),
        "prediction_psnr": metrics.psnr(original, decoded.prediction),
    }
    for layer in stream.layers:
        bits = metrics.bits_per_pixel(len(layer.payload), width, height)
        scores[f"{layer.kind}_bpp"] = bits
    ms_ssim = metrics.ms_ssim(original, decoded.reconstruction)
    return scores if ms_ssim is None else {**scores, "ms_ssim": ms_ssim}
