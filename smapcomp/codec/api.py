"""Compression and decompression of one picture."""

import logging
import time
from dataclasses import asdict, replace
from typing import Any, TypeVar

import numpy as np

from smapcomp.codec.bitstream.container import unpack
from smapcomp.codec.bitstream.stream import VERSION
from smapcomp.codec.decoder import Stages, StreamDecoder
from smapcomp.codec.encoder import PictureEncoder
from smapcomp.codec.layer_settings import (
    choose_settings,
    coarser_scales,
    with_available_design,
)
from smapcomp.codec.layered_encoder import LayeredEncoder
from smapcomp.codec.options import (
    CompressOptions,
    DecodeOptions,
    local_network_options,
    make_options,
    takes_options,
)
from smapcomp.codec.rate_control import encode_to_target
from smapcomp.codec.stream_input import StreamSource, stream_bytes
from smapcomp.design import DEFAULT_MAX_PIXELS, METADATA_KINDS
from smapcomp.errors import SmapcompError
from smapcomp.pictures.fill import fill_invisible
from smapcomp.pictures.picture import Picture
from smapcomp.predictors.base import TiledPredictor
from smapcomp.predictors.engines import load_predictor

_log = logging.getLogger("smapcomp")

_Result = TypeVar("_Result")


@takes_options(CompressOptions)
def compress(image, *, predictor: TiledPredictor | None = None, **options: Any) -> bytes:
    """Compress a picture.

    Args:
        image: A `Picture`; an array, uint8 `[height, width]` or `[height, width, channels]` with 1
            (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels; or a Pillow image, whose
            metadata are not kept. Any size from 1×1 up. Unless `lossless` is given, colours of
            invisible pixels (alpha 0) are replaced by ones that take fewer bits, and targets of
            PSNR and MS-SSIM are those of the visible pixels.
        predictor: Object that runs the networks, for example a server's client. `variant` then has
            no effect, and `weights_dir` and `engine` are not allowed. `None`: the networks of this
            process.
        **options: Fields of `smapcomp.codec.options.CompressOptions`.

    Returns:
        The stream (docs/format.md).

    Raises:
        SmapcompError: An argument is not allowed, there are no such weights, or the target cannot
            be reached.

    Example:
        >>> import numpy as np, smapcomp
        >>> image = np.full((48, 64, 3), 200, np.uint8)
        >>> data = smapcomp.compress(image, quality=80)
        >>> smapcomp.decompress(data).shape
        (48, 64, 3)
    """
    checked = make_options(CompressOptions, options)
    picture = as_picture(image)
    unfilled = None
    if picture.alpha is not None and not checked.lossless:
        unfilled = picture.samples
        picture = replace(picture, samples=fill_invisible(picture.samples, picture.alpha > 0))
    predictor = _predictor(predictor, checked.variant, checked)
    checked = with_available_design(checked, predictor.finenets)
    layers = LayeredEncoder(predictor, picture, checked.mode, checked.max_pixels)
    encoder = PictureEncoder(layers, unfilled)
    if checked.target is None:
        return encoder.encode_no_worse(choose_settings(checked), coarser_scales(checked))
    return encode_to_target(
        encoder, checked.target, lambda quality: choose_settings(checked, quality)
    )


@takes_options(DecodeOptions)
def decode(
    data: StreamSource, *, predictor: TiledPredictor | None = None, **options: Any
) -> Picture:
    """Decompress a stream to a picture with its alpha and metadata.

    Args:
        data: Result of `compress`: bytes, the path of a file (`os.PathLike`), or a binary file.
        predictor: Object that runs the networks, for example a server's client. `weights_dir` and
            `engine` are then not allowed. `None`: the networks of this process.
        **options: Fields of `smapcomp.codec.options.DecodeOptions`.

    Returns:
        The picture.

    Raises:
        StreamError: The stream is damaged, of another version or of other weights, or too large.
            If its networks are not exact: it is lossless and this machine's arithmetic differs from
            the encoder's (`DigestMismatchError`). The logger "smapcomp" is told of such a
            difference in a lossy picture, and what a partial stream lacks.
        SmapcompError: An argument is not allowed, or there are no such weights.
    """
    checked = make_options(DecodeOptions, options)
    content = stream_bytes(data, checked.max_pixels)
    stream = unpack(content, checked.max_pixels, checked.allow_partial)
    began = time.monotonic()

    predictor = _predictor(predictor, stream.variant, checked)
    return StreamDecoder(predictor, stream, checked.max_seconds, began).picture(checked.stage)


@takes_options(DecodeOptions)
def decompress(
    data: StreamSource, *, predictor: TiledPredictor | None = None, **options: Any
) -> np.ndarray:
    """Decompress a stream to an array.

    Args:
        data: Result of `compress`: bytes, the path of a file (`os.PathLike`), or a binary file.
        predictor: As in `decode`.
        **options: Fields of `smapcomp.codec.options.DecodeOptions`.

    Returns:
        uint8 `[height, width, channels]`: 3 channels (RGB) or 1 (grey), and one more, the last, for
        alpha if the stream has it.

    Raises:
        StreamError: As in `decode`.
        SmapcompError: As in `decode`.
    """
    return decode(data, predictor=predictor, **options).to_array()


@takes_options(DecodeOptions)
def decode_stages(
    data: StreamSource, *, predictor: TiledPredictor | None = None, **options: Any
) -> Stages:
    """Decompress a stream and keep the intermediate pictures.

    Args:
        data: Result of `compress`: bytes, the path of a file (`os.PathLike`), or a binary file.
        predictor: As in `decode`.
        **options: Fields of `smapcomp.codec.options.DecodeOptions`; `stage` has no effect.

    Returns:
        Compact picture, label map, prediction and reconstruction.

    Raises:
        StreamError: As in `decode`.
        SmapcompError: As in `decode`.
    """
    checked = make_options(DecodeOptions, options)
    stream = unpack(stream_bytes(data, checked.max_pixels), checked.max_pixels)
    return StreamDecoder(_predictor(predictor, stream.variant, checked), stream).stages()


def _predictor(
    given: TiledPredictor | None, variant: str, options: CompressOptions | DecodeOptions
) -> TiledPredictor:
    """Return the predictor that the caller gave, or that of this process.

    Raises:
        SmapcompError: There is one, and options choose networks of this process; or there are no
            such networks.
    """
    if given is None:
        return load_predictor(variant, options.weights_dir, options.engine)
    for name in local_network_options(vars(options)):
        raise SmapcompError(
            f"{name} {getattr(options, name)!r} with a predictor, which has its own networks; "
            "leave one out"
        )
    return given


def as_picture(image) -> Picture:
    """Convert an argument of `compress` to a `Picture`.

    Raises:
        SmapcompError: It is not a picture.
    """
    if isinstance(image, Picture):
        return image
    if hasattr(image, "getbands"):
        return Picture.from_image(image)
    return Picture.from_array(image)


def info(data: StreamSource) -> dict[str, Any]:
    """Describe a stream; neither weights nor networks are loaded.

    Args:
        data: Result of `compress`: bytes, the path of a file (`os.PathLike`), or a binary file.

    Returns:
        JSON-ready dict: `format_version`, `width`, `height`, `channels`, `mode`, `variant`,
        `alpha`, `metadata` (kinds), `plain` (no network predicts), `lossless`, `compact_scale`,
        `compact_step`, `compact_quality`, `compact_gain`, `tiles` (side, overlap),
        `residual_range`, the digests in hexadecimal (`None` where there is none), `bytes` and `bpp`
        (bits per pixel) of the whole, `header_bytes`, and `layers`: a list of `kind`, `coder`,
        `bytes` and `bpp`.

    Raises:
        StreamError: The stream is damaged or of another version.
    """
    data = stream_bytes(data, DEFAULT_MAX_PIXELS)
    stream = unpack(data, max_pixels=None)
    pixels = stream.width * stream.height
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
        "alpha": stream.layer("alpha") is not None,
        "metadata": [kind for kind in METADATA_KINDS if stream.layer(kind) is not None],
        "plain": stream.plain,
        "lossless": stream.lossless,
        "compact_scale": stream.compact_scale,
        "compact_step": stream.compact_step,
        "compact_quality": stream.compact_quality,
        "compact_gain": stream.compact_gain,
        "tiles": stream.tiling and list(asdict(stream.tiling).values()),
        "residual_range": [stream.residual_low, stream.residual_high],
        "model_digest": _hexadecimal(stream.model_digest),
        "prediction_digest": _hexadecimal(stream.prediction_digest),
        "bytes": len(data),
        "bpp": 8 * len(data) / pixels,
        "header_bytes": len(data) - sum(len(layer.payload) for layer in stream.layers),
        "layers": layers,
    }


def _hexadecimal(digest: bytes | None) -> str | None:
    return None if digest is None else digest.hex()
