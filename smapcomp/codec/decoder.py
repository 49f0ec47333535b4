"""Decoder of one stream."""

import logging
import time
from dataclasses import dataclass

import numpy as np

from smapcomp.codec.bitstream.stream import Stream
from smapcomp.codec.layers.alpha import decode_alpha
from smapcomp.codec.layers.compact import decode_compact, decode_lossy_compact
from smapcomp.codec.layers.labels import decode_labels
from smapcomp.codec.layers.metadata import decode_metadata
from smapcomp.codec.layers.reconstruction import add_residual, grey_of
from smapcomp.codec.layers.residual import ResidualRange, decode_lossless_residual
from smapcomp.codec.layers.strengths import apply_strengths, decode_strengths
from smapcomp.design import METADATA_KINDS, array_digest, dequantise_compact
from smapcomp.errors import DigestMismatchError, LimitError, ModelMismatchError
from smapcomp.pictures.picture import Picture
from smapcomp.predictors.base import Compact, TiledPredictor
from smapcomp.zoo import finenet_role

_log = logging.getLogger("smapcomp")


@dataclass(frozen=True)
class Stages:
    """What a stream decodes to, step by step, cropped to the picture's size.

    Attributes:
        compact: The up-sampled compact image, uint8 `[height, width, 1 or 3]`.
        label_map: The decoder's label map, uint8 `[height, width]` of 0..150; `None` in mode
            "none".
        prediction: The networks' prediction, uint8 `[height, width, 1 or 3]`.
        reconstruction: The prediction plus the residual layer: the decoded picture.
    """

    compact: np.ndarray
    label_map: np.ndarray | None
    prediction: np.ndarray
    reconstruction: np.ndarray


class StreamDecoder:
    """Decodes one stream, layer by layer.

    Args:
        predictor: Runs the networks.
        stream: Result of `unpack`.
        max_seconds: Time limit, checked between layers and between the networks' windows; `None`
            for none.
        began: Value of `time.monotonic()` at which the limit starts; `None` for now.

    Raises:
        ModelMismatchError: The stream needs other weights.
    """

    def __init__(
        self,
        predictor: TiledPredictor,
        stream: Stream,
        max_seconds: float | None = None,
        began: float | None = None,
    ):
        self.predictor = predictor
        self.stream = stream
        self._max_seconds = max_seconds
        self._began = time.monotonic() if began is None else began
        if not stream.plain:
            self._check_model()

    def picture(self, stage: str = "full") -> Picture:
        """Return the picture with alpha and metadata.

        Args:
            stage: How far to decode, one of `STAGES`.
        """
        self._report_missing_layers(stage)
        compact = self.compact()
        if stage == "compact":
            samples = self._upsampled(compact)
        else:
            _, samples = self.predict(compact)
            del compact
            if stage == "full":
                samples = self.reconstruction(samples)
        alpha = self.stream.layer("alpha")
        self._check_time()
        return Picture(
            samples,
            None if alpha is None else decode_alpha(alpha, samples.shape[:2]),
            **{kind: self._metadata(kind) for kind in METADATA_KINDS},
        )

    def stages(self) -> Stages:
        """Return the picture and the intermediate pictures."""
        compact = self.compact()
        labels, prediction = self.predict(compact)
        height, width = self.stream.height, self.stream.width
        if labels is not None:
            labels = self.predictor.variant.label_map(labels)[:height, :width]
        return Stages(
            compact=self._upsampled(compact),
            label_map=labels,
            prediction=prediction,
            reconstruction=self.reconstruction(prediction),
        )

    def compact(self) -> Compact:
        """Decode the compact image."""
        stream = self.stream
        layer, shape = stream.required_layer("compact"), stream.compact_shape
        if stream.compact_step is not None:
            levels = decode_compact(layer, shape, stream.compact_step)
            image = dequantise_compact(levels, stream.compact_step)
        else:
            image = decode_lossy_compact(layer, shape, stream.compact_gain)
        self._check_time()
        if stream.channels == 1:
            image = np.repeat(image, 3, axis=-1)
        return Compact(image, stream.compact_scale, stream.compact_quality)

    def predict(self, compact: Compact) -> tuple[np.ndarray | None, np.ndarray]:
        """Compute the label grid and the prediction, and compare it with its digest.

        Raises:
            DigestMismatchError: It differs, and the networks are exact or the stream is lossless.
                Other networks may round differently on another machine; then the logger "smapcomp"
                is told.
        """
        stream = self.stream
        if stream.plain:
            return None, self._upsampled(compact)
        labels = self._sent_labels()
        mode = "none" if stream.mode == "sent" and labels is None else stream.mode
        grid, prediction = self.predictor.predict(
            compact, mode, labels, stream.tiling, self._check_time
        )
        prediction = self._cropped(prediction)
        strengths = stream.layer("strengths")
        if strengths is not None:
            indices = decode_strengths(strengths, prediction.shape[:2])
            prediction = apply_strengths(prediction, self._upsampled(compact), indices)
        self._check_digest(compact, prediction)
        return grid, prediction

    def reconstruction(self, prediction: np.ndarray) -> np.ndarray:
        """Add the residual layer to the prediction."""
        self._check_time()
        stream = self.stream
        if stream.lossless_residual:
            return decode_lossless_residual(stream.required_layer("residual"), prediction)
        residual_range = ResidualRange(stream.residual_low, stream.residual_high)
        return add_residual(prediction, stream.layer("residual"), residual_range)

    def _upsampled(self, compact: Compact) -> np.ndarray:
        """Return the up-sampled compact image, cropped to the picture."""
        return self._cropped(self.predictor.upsampled_picture(compact, self.stream.tiling))

    def _cropped(self, pixels: np.ndarray) -> np.ndarray:
        pixels = pixels[: self.stream.height, : self.stream.width]
        return grey_of(pixels) if self.stream.channels == 1 else pixels

    def _sent_labels(self) -> np.ndarray | None:
        layer = self.stream.layer("labels")
        if layer is None:
            return None
        height, width = self.stream.padded_shape
        stride = self.predictor.variant.label_stride
        return decode_labels(layer, (height // stride, width // stride))

    def _metadata(self, kind: str) -> bytes | None:
        layer = self.stream.layer(kind)
        return None if layer is None else decode_metadata(layer)

    def _check_model(self) -> None:
        stream = self.stream
        role = finenet_role(stream.compact_scale, stream.compact_quality is not None)
        found = self.predictor.model_digest(role)
        if stream.model_digest is not None and stream.model_digest != found:
            raise ModelMismatchError(
                f"stream needs weights {stream.model_digest.hex()} of variant {stream.variant!r}; "
                f"those here are {found.hex()}"
            )

    def _check_digest(self, compact: Compact, prediction: np.ndarray) -> None:
        stream = self.stream
        if {"labels", "strengths"} & set(stream.missing):
            return
        if array_digest(prediction) == stream.prediction_digest:
            return
        message = "the prediction differs from the encoder's"
        if self.predictor.is_exact(compact.finenet):
            raise DigestMismatchError(f"{message}: a defect of this decoder or of the stream")
        message += "; the networks are not exact, and this machine rounds differently"
        if stream.lossless:
            raise DigestMismatchError(message)
        _log.warning("%s: the picture may be damaged", message)

    def _check_time(self) -> None:
        passed = time.monotonic() - self._began
        if self._max_seconds is not None and passed > self._max_seconds:
            raise LimitError(f"decoding takes longer than {self._max_seconds:g} seconds, the limit")

    def _report_missing_layers(self, stage: str) -> None:
        needed = {"compact": {"alpha"}, "prediction": {"alpha", "labels", "strengths"}}
        lost = [k for k in self.stream.missing if stage == "full" or k in needed[stage]]
        if lost:
            _log.warning("the stream is cut off; without %s", ", ".join(lost))
