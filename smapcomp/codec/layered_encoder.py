"""Encoder of the layers of one picture, with the settings that it is told."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from smapcomp.codec.bitstream.container import pack
from smapcomp.codec.bitstream.stream import (
    LAYER_ORDER,
    Layer,
    Stream,
    check_size,
)
from smapcomp.codec.layer_settings import LayerSettings
from smapcomp.codec.layers.alpha import encode_alpha
from smapcomp.codec.layers.compact import (
    decode_lossy_compact,
    downsampled,
    encode_compact,
    encode_lossy_compact,
)
from smapcomp.codec.layers.labels import encode_labels
from smapcomp.codec.layers.metadata import encode_metadata
from smapcomp.codec.layers.reconstruction import add_residual, grey_of
from smapcomp.codec.layers.residual import (
    Difference,
    ResidualRange,
    encode_lossless_residual,
    encode_residual,
)
from smapcomp.codec.layers.strengths import (
    apply_strengths,
    choose_strengths,
    encode_strengths,
)
from smapcomp.design import (
    COMPNET_SCALE,
    DIGEST_BYTES,
    METADATA_KINDS,
    array_digest,
    dequantise_compact,
    pad_picture,
    quantise_compact,
)
from smapcomp.pictures.picture import Picture
from smapcomp.predictors.base import Compact, TiledPredictor
from smapcomp.predictors.tiles import choose_tiling

SLOW_EFFORT_SAMPLES = 1 << 20
"""Largest picture in samples for which libjxl's effort 8, about 2 seconds per million samples, is
tried when the picture itself is coded without loss."""


@dataclass(frozen=True)
class _CompactLayer:
    layer: Layer
    compact: Compact
    step: int | None
    gain: int


@dataclass(frozen=True)
class _Decoded:
    """What the decoder will compute from the compact layer.

    Attributes:
        labels: Label grid; `None` in mode "none".
        prediction: uint8 `[height, width, channels]`, without padding.
        strengths: Layer of the strengths of FineNet's correction, or `None` if all are 1.
        plain: Whether the prediction is the up-sampled compact image, without any network.
    """

    labels: np.ndarray | None
    prediction: np.ndarray
    strengths: Layer | None = None
    plain: bool = False


class LayeredEncoder:
    """Encodes one picture with any number of settings.

    The compact layer and the networks' results are kept from one call to the next, so only what
    changed is computed again.

    Args:
        predictor: Runs the networks; the name of its variant and the digest of its networks go into
            the header.
        picture: Picture of any size from 1×1 up.
        mode: Source of the label map, one of `MODES`.
        max_pixels: Largest padded picture to accept, in pixels; `None` for no limit.

    Attributes:
        pixels: The picture's samples, uint8 `[height, width, 1 or 3]`.
        visible: Pixels whose alpha is not 0, bool `[height, width]`; `None` if all are visible.

    Raises:
        LimitError: The picture is too large.
    """

    def __init__(
        self,
        predictor: TiledPredictor,
        picture: Picture,
        mode: str,
        max_pixels: int | None = None,
    ):
        self.predictor = predictor
        self.pixels = picture.samples
        self.visible = None if picture.alpha is None else picture.alpha > 0
        self.mode = mode
        height, width, self.channels = self.pixels.shape
        check_size(width, height, max_pixels)
        self._padded = pad_picture(self.pixels)
        self.tiling = choose_tiling(*self._padded.shape[:2])
        self._other_layers = _other_layers(picture)
        self._last: dict[str, tuple] = {}

    def encode(self, settings: LayerSettings) -> bytes:
        """Return the stream with these settings."""
        compact = self._compact(settings)
        decoded = self._decoded(settings)
        residual, residual_range = self._residual(settings)
        found = [
            compact.layer,
            self._label_layer(settings),
            decoded.strengths,
            residual,
        ]
        layers = [layer for layer in found if layer is not None] + self._other_layers
        return pack(self._stream(settings, compact, layers, residual_range, decoded))

    def encode_exactly(self, samples: np.ndarray) -> bytes:
        """Return a stream without networks that holds samples without loss.

        Args:
            samples: uint8 of the picture's shape.
        """
        settings = LayerSettings("jxl", 1, None, "none", None)
        padded = pad_picture(samples)
        small = samples.size <= SLOW_EFFORT_SAMPLES
        layer = encode_compact(padded, (7, 8) if small else (7,))
        compact = _CompactLayer(layer, Compact(_as_colour(padded), 1, None), 1, 0)
        layers = [layer, *self._other_layers]
        decoded = _Decoded(None, samples, plain=True)
        return pack(self._stream(settings, compact, layers, ResidualRange(0, 0), decoded))

    def resampled(self, scale: int) -> np.ndarray:
        """Return the picture, down-sampled and up-sampled again.

        Args:
            scale: Compact scale.

        Returns:
            uint8 of the picture's shape.
        """
        height, width, channels = self.pixels.shape
        small = _as_colour(downsampled(self._padded, scale))
        upsampled = self.predictor.upsampled_picture(Compact(small, scale, 100), self.tiling)
        upsampled = upsampled[:height, :width]
        return grey_of(upsampled) if channels == 1 else upsampled

    def bytes_without_networks(self, settings: LayerSettings) -> int | None:
        """Return the length of the stream without its strength layer.

        Returns:
            `None` if that length depends on the networks.
        """
        if settings.residual_coder != "none" or self.mode == "sent":
            return None
        compact = self._compact(settings)
        layers = [compact.layer, *self._other_layers]
        return len(pack(self._stream(settings, compact, layers, ResidualRange(0, 0), None)))

    def reconstruction(self, settings: LayerSettings) -> np.ndarray:
        """Return the picture that the stream will decode to, uint8 `[height, width, channels]`."""
        if settings.lossless:
            return self.pixels
        prediction = self._decoded(settings).prediction
        layer, residual_range = self._residual(settings)
        return add_residual(prediction, layer, residual_range)

    def _stream(
        self,
        settings: LayerSettings,
        compact: _CompactLayer,
        layers: list[Layer],
        residual_range: ResidualRange,
        decoded: _Decoded | None,
    ) -> Stream:
        height, width, channels = self.pixels.shape
        order = {kind: place for place, kind in enumerate(LAYER_ORDER)}
        plain = decoded is not None and decoded.plain
        mode = "none" if plain else self.mode
        # Without the networks' results only the length of the stream matters.
        none = bytes(DIGEST_BYTES)
        prediction_digest = array_digest(decoded.prediction) if decoded else none
        return Stream(
            width=width,
            height=height,
            channels=channels,
            compact_scale=settings.compact_scale,
            compact_step=compact.step,
            compact_quality=settings.compact_quality,
            compact_gain=compact.gain,
            mode=mode,
            variant=self.predictor.variant.name,
            model_digest=(None if plain else self.predictor.model_digest(compact.compact.finenet)),
            prediction_digest=None if plain else prediction_digest,
            residual_low=residual_range.low,
            residual_high=residual_range.high,
            tiling=self.tiling,
            plain=plain,
            layers=tuple(sorted(layers, key=lambda layer: order[layer.kind])),
        )

    def _once(self, name: str, key: tuple, make):
        """Return what `make` returns; it is called again only when the key has changed."""
        if name not in self._last or self._last[name][0] != key:
            self._last.pop(name, None)  # Frees the old arrays before the new ones are made.
            self._last[name] = key, make()
        return self._last[name][1]

    def _compact(self, settings: LayerSettings) -> _CompactLayer:
        key = _compact_key(settings)
        return self._once("compact", key, lambda: self._make_compact(settings))

    def _make_compact(self, settings: LayerSettings) -> _CompactLayer:
        scale, quality = settings.compact_scale, settings.compact_quality
        if quality is not None:
            image = self._once("small", (scale,), lambda: downsampled(self._padded, scale))
            gain = settings.compact_gain
            coder, speed = settings.compact_coder, settings.speed
            layer = encode_lossy_compact(image, quality, coder, gain=gain, speed=speed)
            decoded = decode_lossy_compact(layer, image.shape, gain)
            return _CompactLayer(layer, Compact(_as_colour(decoded), scale, quality), None, gain)
        step = self.predictor.variant.step
        levels = self._once("levels", (scale,), lambda: self._levels(scale, step))
        key = (scale,)
        layer = self._once("lossless", key, lambda: encode_compact(levels))
        image = _as_colour(dequantise_compact(levels, step))
        return _CompactLayer(layer, Compact(image, scale, None), step, 0)

    def _levels(self, scale: int, step: int) -> np.ndarray:
        if scale != COMPNET_SCALE:
            return quantise_compact(downsampled(self._padded, scale), step)
        colour = _as_colour(self._padded)
        return self.predictor.compact_levels(colour, self.channels == 1, self.tiling)

    def _decoded(self, settings: LayerSettings) -> _Decoded:
        compact, plain_allowed = self._compact(settings).compact, settings.plain_allowed
        return self._once(
            "decoded",
            (*_compact_key(settings), plain_allowed),
            lambda: self._make_decoded(compact, plain_allowed),
        )

    def _make_decoded(self, compact: Compact, plain_allowed: bool) -> _Decoded:
        height, width, channels = self.pixels.shape
        labels, prediction = self.predictor.predict(
            compact,
            self.mode,
            labels=self._source_labels() if self.mode == "sent" else None,
            tiling=self.tiling,
        )
        prediction, upsampled = (
            grey_of(picture[:height, :width]) if channels == 1 else picture[:height, :width]
            for picture in (prediction, self.predictor.upsampled_picture(compact, self.tiling))
        )
        strengths = choose_strengths(self.pixels, prediction, upsampled, self.visible)
        if plain_allowed and not strengths.any():
            return _Decoded(None, upsampled, plain=True)
        return _Decoded(
            labels,
            apply_strengths(prediction, upsampled, strengths),
            encode_strengths(strengths),
        )

    def _source_labels(self) -> np.ndarray:
        return self._once(
            "labels",
            (),
            lambda: self.predictor.source_labels(_as_colour(self._padded), self.tiling),
        )

    def _label_layer(self, settings: LayerSettings) -> Layer | None:
        labels = self._decoded(settings).labels
        if labels is None or self.mode != "sent":
            return None
        return self._once("label layer", _compact_key(settings), partial(encode_labels, labels))

    def _residual(self, settings: LayerSettings) -> tuple[Layer | None, ResidualRange]:
        if settings.residual_coder == "none":
            return None, ResidualRange(0, 0)
        prediction = self._decoded(settings).prediction
        quality = settings.residual_quality
        if quality is None:
            return encode_lossless_residual(self.pixels, prediction), ResidualRange(0, 0)
        return self._once(
            "residual",
            (
                _compact_key(settings),
                settings.residual_coder,
                settings.residual_quality,
                settings.residual_widen,
            ),
            lambda: encode_residual(
                Difference(self.pixels, prediction),
                quality,
                settings.residual_coder,
                speed=settings.speed,
                widen=settings.residual_widen,
            ),
        )


def _compact_key(settings: LayerSettings) -> tuple:
    return (
        settings.compact_coder,
        settings.compact_scale,
        settings.compact_quality,
        settings.compact_gain,
        settings.speed,
    )


def _as_colour(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[2] == 1 else pixels


def _other_layers(picture: Picture) -> list[Layer]:
    """Return the layers of alpha and metadata."""
    layers = [] if picture.alpha is None else [encode_alpha(picture.alpha)]
    for kind in METADATA_KINDS:
        data = getattr(picture, kind)
        if data:
            layers.append(encode_metadata(kind, data))
    return layers
