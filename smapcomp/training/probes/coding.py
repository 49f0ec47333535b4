"""Coding probe: bits and PSNR of real streams that the networks in training code and decode."""

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from smapcomp import metrics
from smapcomp.codec import api
from smapcomp.codec.bitstream.container import unpack
from smapcomp.design import weights_digest
from smapcomp.models.exact_layers import ExactConv2D
from smapcomp.predictors.keras_predictor import KerasPredictor
from smapcomp.training.probe import Probe, ProbeWriter
from smapcomp.training.probes.pictures import picture_panels
from smapcomp.training.stages.stage import Stage
from smapcomp.zoo import Networks, Variant

QUALITY = 40
"""Quality of the coded pictures: the middle one of the model card's three."""

MODES = {"stage1": "sent", "stage3": "mapped"}
"""Mode of the stream by stage: the source of the labels that FineNet is trained on."""


class _TrainingNetworks(Networks):
    """Copies of a stage's networks that compute in float32 and whose weights come from no file.

    Args:
        variant: Variant of the networks.
        copies: Networks by role.
    """

    def __init__(self, variant: Variant, copies: Mapping[str, keras.Model]):
        super().__init__(variant, Path())
        self._digest = bytes(8)
        self._copies = dict(copies)

    def digest(self, _: str) -> bytes:
        """Return the 8-byte digest of the weights that the decoder needs."""
        return self._digest

    def is_exact(self, role: str) -> bool:
        """Return whether a network is exact."""
        return any(isinstance(layer, ExactConv2D) for layer in self._copies[role].layers)

    def exact_weights(self, role: str) -> None:
        """Return `None`: the copies have no weights in a file."""

    def model(self, role: str) -> keras.Model:
        """Return the copy of a network."""
        return self._copies[role]

    def update(self, models: Mapping[str, keras.Model]) -> None:
        """Copy the present weights of the networks in training."""
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


class _TrueLabelsPredictor(KerasPredictor):
    """Predictor for stage 1, which has no segmenter: it takes the picture's true labels."""

    labels: np.ndarray

    def _segment(self, signal, repair: bool = False) -> np.ndarray:
        height, width = (side // self.variant.label_stride for side in signal.shape[1:3])
        if self.labels.shape != (height, width):
            raise ValueError(f"labels of shape {self.labels.shape} for a grid of {height}x{width}")
        return self.labels


def coding_probe(
    stage: Stage,
    build_copies: Callable[[], Mapping[str, keras.Model]],
    variant: Variant,
    batch: Mapping[str, np.ndarray],
    every: int,
    quality: int = QUALITY,
) -> Probe:
    """Return a probe that compresses and decompresses pictures with the networks in training.

    Its curves are means over the pictures: `codec/bpp` of whole streams, `codec/compact_bpp` and
    `codec/residual_bpp` of these layers, `codec/psnr` of the decoded pictures,
    `codec/prediction_psnr` of the predictions, and `codec/ms_ssim` if sides are at least 161
    pixels.

    Args:
        stage: Stage 1, whose streams contain the true labels, or stage 3, whose decoder finds the
            labels.
        build_copies: Function that builds `compnet` and `finenet`, for stage 3 also `segmenter` and
            `smapnet`, in float32; it is called once.
        variant: Variant of the networks.
        batch: Pictures, a batch of the stage in NumPy; sides of at least 32 pixels.
        every: Steps between two measurements.
        quality: Quality of the residual layer, 0..100.

    Raises:
        ValueError: The stage is another one.
    """
    if stage.name not in MODES:
        raise ValueError(f"stage {stage.name!r} codes no pictures; allowed: {', '.join(MODES)}")
    networks: _TrainingNetworks | None = None
    predictor: KerasPredictor | None = None
    originals = picture_panels({"original": np.asarray(batch["image"])})["original"]
    stride = variant.label_stride
    grids = np.asarray(batch["label_map"])[:, stride // 2 :: stride, stride // 2 :: stride]

    def run(_: int, __: ProbeWriter | None) -> dict[str, float]:
        nonlocal networks, predictor
        if networks is None or predictor is None:
            networks = _TrainingNetworks(variant, build_copies())
            kind = _TrueLabelsPredictor if stage.name == "stage1" else KerasPredictor
            predictor = kind(networks)
        networks.update(stage.models)
        rows = []
        for original, labels in zip(originals, grids, strict=True):
            if isinstance(predictor, _TrueLabelsPredictor):
                predictor.labels = labels.astype(np.uint8)
            rows.append(_measure(predictor, original, quality, MODES[stage.name]))
        return {f"codec/{name}": float(np.mean([row[name] for row in rows])) for name in rows[0]}

    return Probe(every, run, chief_only=True)


def _measure(predictor: KerasPredictor, original: np.ndarray, quality: int, mode: str) -> dict:
    # These stages train the networks of the papers' design.
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
    # Other layers, such as the strengths of blocks, are in the streams of some pictures only.
    for kind in ("compact", "residual") + (("labels",) if mode == "sent" else ()):
        size = sum(len(layer.payload) for layer in stream.layers if layer.kind == kind)
        scores[f"{kind}_bpp"] = metrics.bits_per_pixel(size, width, height)
    ms_ssim = metrics.ms_ssim(original, decoded.reconstruction)
    return scores if ms_ssim is None else {**scores, "ms_ssim": ms_ssim}
