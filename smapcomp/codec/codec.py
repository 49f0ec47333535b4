"""Compression and decompression of one picture."""

import functools
from dataclasses import dataclass

import numpy as np

from smapcomp import zoo
from smapcomp.codec.compact import decode_compact, dequantise_compact, encode_compact
from smapcomp.codec.container import (
    CODERS,
    DEFAULT_MAX_PIXELS,
    MODES,
    VERSION,
    Stream,
    array_digest,
    pack,
    pad_picture,
    padded_shape,
    unpack,
)
from smapcomp.codec.labels import decode_labels, encode_labels
from smapcomp.codec.residual import ResidualRange, decode_residual, encode_residual
from smapcomp.errors import DigestMismatchError, LimitError, ModelMismatchError, SmapcompError

SCALE = 8
"""Pixels of the picture along a side of one pixel of the compact image, of every variant so far."""

DEFAULT_QUALITY = 60
DEFAULT_MODE = "mapped"
DEFAULT_VARIANT = "lite"
DEFAULT_COMPACT_CODER = "jxl"


@dataclass(frozen=True)
class Stages:
    """What a stream decodes to, step by step; all cropped to the picture's size.

    Attributes:
        compact: The up-sampled compact image, uint8 `[height, width, 1 or 3]`.
        label_map: The decoder's label map, uint8 `[height, width]` of 0..150; None in mode `none`.
        prediction: What the networks make of both, uint8 `[height, width, 1 or 3]`.
        reconstruction: The prediction plus the residual layer: the decoded picture.
    """

    compact: np.ndarray
    label_map: np.ndarray | None
    prediction: np.ndarray
    reconstruction: np.ndarray


def compress(
    image,
    *,
    quality: int = DEFAULT_QUALITY,
    mode: str = DEFAULT_MODE,
    variant: str = DEFAULT_VARIANT,
    compact_coder: str = DEFAULT_COMPACT_CODER,
    weights_dir: str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> bytes:
    """Compresses a picture.

    Args:
        image: uint8 `[height, width, 3]` (RGB), `[height, width, 1]` or `[height, width]` (grey),
            or a Pillow image of mode RGB or L; any size from 1×1 up.
        quality: 0..100; more is better and larger. 0 leaves the residual layer empty: then the
            prediction is the picture.
        mode: Where FineNet's label map comes from: "none" (nowhere), "sent" (in the stream),
            "matched" (the decoder's segmenter), "mapped" (that, repaired by SMapNet).
        variant: Of the networks: "lite" or "paper".
        compact_coder: Of the compact layer: "jxl" (JPEG XL), or "flif", the papers', by its program
            where that is installed; the decoder needs it too.
        weights_dir: Folder of weights; None: those in the box.
        max_pixels: Larger pictures are refused.

    Returns:
        The stream, format version 1 (docs/format.md).

    Raises:
        SmapcompError: An argument is not as said above, or there are no such weights.
    """
    pixels = _checked_pixels(image)
    _check_choices(quality, mode, compact_coder)
    predictor = _predictor(variant, weights_dir)
    return compress_with(predictor, pixels, quality, mode, compact_coder, max_pixels)


def compress_with(
    predictor,
    pixels: np.ndarray,
    quality: int,
    mode: str,
    compact_coder: str = DEFAULT_COMPACT_CODER,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> bytes:
    """As `compress`, by a `Predictor` of any networks.

    Args:
        predictor: Its variant's name and its networks' digest go into the header.
        pixels: uint8 `[height, width, 1 or 3]`.
        quality, mode, compact_coder, max_pixels: As `compress`'s; not checked.
    """
    height, width, channels = pixels.shape
    rows, columns = padded_shape(height, width)
    if rows * columns > max_pixels:
        raise LimitError(
            f"picture of {width}x{height} pixels, {rows * columns} with its padding; "
            f"the limit is {max_pixels} pixels"
        )
    padded = pad_picture(pixels)
    colour = np.repeat(padded, 3, axis=-1) if channels == 1 else padded
    levels = predictor.compact_levels(colour, grey=channels == 1)
    layers = [encode_compact(levels, compact_coder)]
    sent = None
    if mode == "sent":
        sent = predictor.source_labels(colour)
        layers.append(encode_labels(sent))
    view = _decoder_view(predictor, levels, predictor.variant.step, mode, sent)
    prediction = view.prediction[:height, :width]
    residual_range = ResidualRange(0, 0)
    if quality > 0:
        residual, residual_range = encode_residual(pixels.astype(np.int16) - prediction, quality)
        layers.append(residual)
    return pack(
        Stream(
            width=width,
            height=height,
            channels=channels,
            compact_scale=SCALE,
            compact_step=predictor.variant.step,
            mode=mode,
            variant=predictor.variant.name,
            model_digest=predictor.networks.digest,
            prediction_digest=array_digest(prediction),
            label_digest=array_digest(view.labels) if mode in ("matched", "mapped") else None,
            residual_low=residual_range.low,
            residual_high=residual_range.high,
            layers=tuple(layers),
        )
    )


def decompress(
    data: bytes, *, weights_dir: str | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
) -> np.ndarray:
    """Decompresses a stream.

    Args:
        data: What `compress` returned.
        weights_dir: Folder of weights; None: those in the box.
        max_pixels: Streams of larger pictures are refused before anything is allocated.

    Returns:
        uint8 `[height, width, 3]`, or `[height, width, 1]` of a grey picture.

    Raises:
        StreamError: The stream is damaged, of another version or of other weights, too large, or
            this machine's arithmetic differs from the encoder's (`DigestMismatchError`).
        SmapcompError: There are no such weights.
    """
    return decode_stages(data, weights_dir=weights_dir, max_pixels=max_pixels).reconstruction


def decode_stages(
    data: bytes, *, weights_dir: str | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Stages:
    """Decompresses a stream and keeps what it went through; else as `decompress`."""
    stream = unpack(data, max_pixels)
    return decode_with(_predictor(stream.variant, weights_dir), stream)


def decode_with(predictor, stream: Stream) -> Stages:
    """As `decode_stages`, of an unpacked stream, by the `Predictor` of any networks."""
    if stream.model_digest != predictor.networks.digest:
        raise ModelMismatchError(
            f"stream needs weights {stream.model_digest.hex()} of variant {stream.variant!r}; "
            f"those here are {predictor.networks.digest.hex()}"
        )
    if stream.compact_scale != SCALE:
        raise ModelMismatchError(
            f"stream has compact scale {stream.compact_scale}; "
            f"variant {stream.variant!r} has {SCALE}"
        )
    height, width, channels = stream.height, stream.width, stream.channels
    levels = decode_compact(stream.layer("compact"), stream.compact_shape, stream.compact_step)
    sent = None
    if stream.mode == "sent":
        stride = predictor.variant.label_stride
        shape = tuple(side // stride for side in stream.padded_shape)
        sent = decode_labels(stream.layer("labels"), shape)
    shape = (height, width, channels)
    residual_range = ResidualRange(stream.residual_low, stream.residual_high)
    residual = decode_residual(stream.layer("residual"), shape, residual_range)
    view = _decoder_view(predictor, levels, stream.compact_step, stream.mode, sent)
    prediction = view.prediction[:height, :width]
    _check_digests(stream, view.labels, prediction)
    label_map = None if view.labels is None else predictor.variant.full_size(view.labels)
    return Stages(
        compact=predictor.upsampled(view.compact)[:height, :width, :channels],
        label_map=None if label_map is None else label_map[:height, :width],
        prediction=prediction,
        reconstruction=np.clip(prediction + residual, 0, 255).astype(np.uint8),
    )


@dataclass(frozen=True)
class _View:
    """What encoder and decoder both compute: padded, uint8."""

    compact: np.ndarray
    labels: np.ndarray | None
    prediction: np.ndarray


def _decoder_view(predictor, levels: np.ndarray, step: int, mode: str, sent) -> _View:
    """The decoder's work on the compact layer; the encoder calls it too, to know its result."""
    grey = levels.shape[-1] == 1
    compact = dequantise_compact(levels, step)
    if grey:
        compact = np.repeat(compact, 3, axis=-1)
    labels = sent if mode == "sent" else predictor.decoder_labels(compact, mode)
    prediction = predictor.predict(compact, labels)
    if grey:
        mean = prediction.sum(axis=-1, keepdims=True, dtype=np.uint16)
        prediction = ((2 * mean + 3) // 6).astype(np.uint8)
    return _View(compact, labels, prediction)


def _check_digests(stream: Stream, labels: np.ndarray | None, prediction: np.ndarray) -> None:
    if stream.label_digest is not None and array_digest(labels) != stream.label_digest:
        raise DigestMismatchError(
            "the label map differs from the encoder's: this machine's arithmetic rounds otherwise"
        )
    if array_digest(prediction) != stream.prediction_digest:
        raise DigestMismatchError(
            "the prediction differs from the encoder's: this machine's arithmetic rounds otherwise"
        )


@functools.lru_cache(maxsize=2)
def _predictor(variant: str, weights_dir: str | None):
    from smapcomp.codec.predictor import Predictor

    return Predictor(zoo.load(variant, weights_dir))


def _check_choices(quality: int, mode: str, compact_coder: str) -> None:
    if not isinstance(quality, (int, np.integer)) or not 0 <= quality <= 100:
        raise SmapcompError(f"quality {quality!r} is not allowed; it is a whole number, 0..100")
    if mode not in MODES:
        raise SmapcompError(f"mode {mode!r} is unknown; allowed: {', '.join(MODES)}")
    if compact_coder not in CODERS["compact"]:
        allowed = ", ".join(CODERS["compact"])
        raise SmapcompError(f"compact coder {compact_coder!r} is unknown; allowed: {allowed}")


def _checked_pixels(image) -> np.ndarray:
    """The picture as uint8 `[height, width, 1 or 3]`."""
    mode = getattr(image, "mode", None)
    if mode is not None and mode not in ("RGB", "L"):
        raise SmapcompError(f"Pillow image of mode {mode!r}; allowed: RGB, L")
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise SmapcompError(
            f"picture of shape {pixels.shape} and type {pixels.dtype}; "
            "it must be uint8 of shape [height, width], [height, width, 1] or [height, width, 3]"
        )
    if 0 in pixels.shape:
        raise SmapcompError(f"picture of shape {pixels.shape} has no pixels")
    return pixels


def info(data: bytes) -> dict:
    """What a stream says of itself; neither weights nor networks are loaded.

    Args:
        data: What `compress` returned.

    Returns:
        JSON-ready dict: `format_version`, `width`, `height`, `channels`, `mode`, `variant`,
        `compact_scale`, `compact_step`, `residual_range`, the digests in hexadecimal (None where
        there is none), `bytes` and `bpp` of the whole, `header_bytes`, and `layers`: a list of
        `kind`, `coder`, `bytes` and `bpp`.

    Raises:
        StreamError: The stream is damaged or of another version.
    """
    stream = unpack(data, max_pixels=None)
    pixels = stream.width * stream.height
    header = len(data) - sum(len(layer.payload) for layer in stream.layers)
    layers = [
        {
            "kind": layer.kind,
            "coder": layer.coder,
            "bytes": len(layer.payload),
            "bpp": 8 * len(layer.payload) / pixels,
        }
        for layer in stream.layers
    ]
    return {
        "format_version": VERSION,
        "width": stream.width,
        "height": stream.height,
        "channels": stream.channels,
        "mode": stream.mode,
        "variant": stream.variant,
        "compact_scale": stream.compact_scale,
        "compact_step": stream.compact_step,
        "residual_range": [stream.residual_low, stream.residual_high],
        "model_digest": stream.model_digest.hex(),
        "label_digest": stream.label_digest and stream.label_digest.hex(),
        "prediction_digest": stream.prediction_digest.hex(),
        "bytes": len(data),
        "bpp": 8 * len(data) / pixels,
        "header_bytes": header,
        "layers": layers,
    }
