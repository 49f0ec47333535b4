"""Compression and decompression of one picture."""

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from smapcomp.codec.coders.av1 import DEFAULT_SPEED
from smapcomp.codec.container import unpack
from smapcomp.codec.decoder_options import check_on_mismatch
from smapcomp.codec.engines import AUTO, engines_of, predictor_of
from smapcomp.codec.rate_control import Target, reach
from smapcomp.codec.settings import (
    DEFAULT_MODE,
    DEFAULT_QUALITY,
    DEFAULT_VARIANT,
    check_mode,
    choose,
)
from smapcomp.codec.stream import DEFAULT_MAX_PIXELS, Stream
from smapcomp.codec.tiled_predictor import TiledPredictor
from smapcomp.errors import DigestMismatchError, SmapcompError
from smapcomp.picture import Picture

_log = logging.getLogger("smapcomp")


def compress(
    image,
    *,
    quality: int = DEFAULT_QUALITY,
    target_bytes: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    target_ms_ssim: float | None = None,
    lossless: bool = False,
    mode: str = DEFAULT_MODE,
    robust: bool = False,
    compact_coder: str | None = None,
    compact_scale: int | None = None,
    compact_quality: int | None = None,
    residual_coder: str | None = None,
    residual_quality: int | None = None,
    speed: int = DEFAULT_SPEED,
    variant: str = DEFAULT_VARIANT,
    weights_dir: str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    engine: str = AUTO,
    predictor: TiledPredictor | None = None,
) -> bytes:
    """Compresses a picture.

    Args:
        image: A `Picture`; uint8 `[height, width]` or `[height, width, channels]` of 1 (grey), 2
            (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels; or a Pillow image, whose metadata is
            not kept. Any size from 1×1 up.
        quality: 0..100; more is better and larger.
        target_bytes, target_bpp, target_psnr, target_ms_ssim: At most one: choose the quality by
            what it gives. Bytes and bits per pixel are met within 2 % and not exceeded, PSNR is met
            within 0.1 dB and MS-SSIM within 0.001 from above.
        lossless: Every sample comes back exactly.
        mode: Where FineNet's label map comes from: "none" (nowhere), "sent" (in the stream),
            "matched" (the decoder's segmenter), "mapped" (that, repaired by SMapNet).
        robust: Add what makes decoding independent of how a machine rounds: the label map and the
            rounding layer.
        compact_coder, compact_scale, compact_quality, residual_coder, residual_quality: As
            `settings.choose` has them; None for what goes best with the quality.
        speed: Of AV1, 0 (slow, small) to 10.
        variant: Of the networks: "lite" or "paper".
        weights_dir: Folder of weights; None: those in the box.
        max_pixels: Larger pictures are refused.
        engine: What runs the networks, one of `engines.ENGINES`.
        predictor: A `TiledPredictor` that does the networks' work, a server's for instance; then
            `variant`, `weights_dir` and `engine` have no part. None: the networks of this process.

    Returns:
        The stream, format version 2 (docs/format.md).

    Raises:
        SmapcompError: An argument is not as said, there are no such weights, or the target is out
            of reach.
    """
    picture = as_picture(image)
    options = {
        "quality": quality,
        "target_bytes": target_bytes,
        "target_bpp": target_bpp,
        "target_psnr": target_psnr,
        "target_ms_ssim": target_ms_ssim,
        "lossless": lossless,
        "mode": mode,
        "robust": robust,
        "compact_coder": compact_coder,
        "compact_scale": compact_scale,
        "compact_quality": compact_quality,
        "residual_coder": residual_coder,
        "residual_quality": residual_quality,
        "speed": speed,
    }
    check_options(**options)
    predictor = predictor or predictor_of(variant, weights_dir, engine)
    return compress_with(predictor, picture, max_pixels=max_pixels, **options)


def compress_with(
    predictor,
    image,
    *,
    quality: int = DEFAULT_QUALITY,
    mode: str = DEFAULT_MODE,
    robust: bool = False,
    target_bytes: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    target_ms_ssim: float | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    **settings: Any,
) -> bytes:
    """As `compress`, by any `TiledPredictor`: of other networks, or of those of a server.

    Its variant's name and its networks' digest go into the header. `settings` are those of
    `settings.choose`: `compact_coder` and so on.
    """
    from smapcomp.codec.encoder import PictureEncoder

    picture = as_picture(image)
    target = check_options(
        quality=quality,
        mode=mode,
        target_bytes=target_bytes,
        target_bpp=target_bpp,
        target_psnr=target_psnr,
        target_ms_ssim=target_ms_ssim,
        **settings,
    )
    encoder = PictureEncoder(predictor, picture, mode, robust, max_pixels)
    if target is not None:
        return reach(encoder, target, lambda step: choose(step, **settings))
    return encoder.encode(choose(quality, **settings))


def check_options(
    *,
    quality: int = DEFAULT_QUALITY,
    mode: str = DEFAULT_MODE,
    robust: bool = False,
    target_bytes: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    target_ms_ssim: float | None = None,
    **settings: Any,
) -> Target | None:
    """Checks the options of `compress_with` before any work is done; no network is loaded.

    Returns:
        The target, if one is given.

    Raises:
        SmapcompError: An option is not allowed, or two don't go together.
    """
    check_mode(mode)
    chosen = choose(quality, **settings)
    target = Target.of(bytes=target_bytes, bpp=target_bpp, psnr=target_psnr, ms_ssim=target_ms_ssim)
    if target is not None and chosen.lossless:
        raise SmapcompError(
            f"target_{target.kind} with lossless, which has one size; leave one out"
        )
    return target


def decode(
    data: bytes,
    *,
    stage: str = "full",
    allow_partial: bool = False,
    on_mismatch: str = "error",
    weights_dir: str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    max_seconds: float | None = None,
    engine: str = AUTO,
    predictor: TiledPredictor | None = None,
) -> Picture:
    """Decompresses a stream.

    Args:
        data: What `compress` returned.
        stage: "compact" (the up-sampled compact image), "prediction" (what the networks make of
            it) or "full".
        allow_partial: Take a stream that was cut off behind its compact layer as far as it goes;
            the logger "smapcomp" is told what is missing.
        on_mismatch: What to do if this machine's arithmetic differs from the encoder's: "error",
            or "warn": go on, and tell the logger "smapcomp".
        weights_dir: Folder of weights; None: those in the box.
        max_pixels: Streams of larger pictures are refused before anything is allocated.
        max_seconds: Decoding that takes longer is given up; None: never.
        engine: What runs the networks, one of `engines.ENGINES`. With "auto", a stream whose
            digests one engine does not meet is decoded by the other.
        predictor: A `TiledPredictor` that does the networks' work, a server's for instance; then
            `weights_dir` and `engine` have no part. None: the networks of this process.

    Returns:
        The picture, with its alpha and what metadata the stream has.

    Raises:
        StreamError: The stream is damaged, of another version or of other weights, too large, or
            this machine's arithmetic differs from the encoder's (`DigestMismatchError`).
        SmapcompError: An argument is not as said above, or there are no such weights.
    """
    stream = unpack(data, max_pixels, allow_partial)
    from smapcomp.codec.decoder import StreamDecoder

    began = time.monotonic()

    def work(predictor: TiledPredictor, on_mismatch: str) -> Picture:
        decoder = StreamDecoder(predictor, stream, on_mismatch, max_seconds, began)
        return decoder.picture(stage)

    if predictor is not None:
        return work(predictor, on_mismatch)
    return _by_any_engine(work, stream, weights_dir, engine, on_mismatch)


def decompress(data: bytes, **options: Any) -> np.ndarray:
    """Decompresses a stream to an array; the options are those of `decode`.

    Returns:
        uint8 `[height, width, channels]`: 3 channels (RGB) or 1 (grey), and one more, the last, for
        alpha if the stream has it.
    """
    return decode(data, **options).to_array()


def decode_stages(
    data: bytes, *, weights_dir: str | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
):
    """Decompresses a stream and keeps what it went through: `decoder.Stages`."""
    stream = unpack(data, max_pixels)
    return _by_any_engine(lambda predictor, _: decode_with(predictor, stream), stream, weights_dir)


def _by_any_engine(
    work: Callable[[TiledPredictor, str], Any],
    stream: Stream,
    weights_dir: str | None,
    engine: str = AUTO,
    on_mismatch: str = "error",
) -> Any:
    """What decoding gives by the first engine that computes as the encoder's did.

    Args:
        work: Decodes the stream by a predictor, with `on_mismatch` as `StreamDecoder` takes it.
        stream: What is decoded.
        weights_dir, engine, on_mismatch: As `decode` takes them.
    """
    check_on_mismatch(on_mismatch)
    *others, last = engines_of(stream.variant, weights_dir, engine)
    for name in others:
        try:
            return work(predictor_of(stream.variant, weights_dir, name), "error")
        except DigestMismatchError as error:
            _log.info("%s: %s; trying %s", name, error, last)
    return work(predictor_of(stream.variant, weights_dir, last), on_mismatch)


def decode_with(predictor, stream: Stream):
    """As `decode_stages`, of an unpacked stream, by any `TiledPredictor`."""
    from smapcomp.codec.decoder import StreamDecoder

    return StreamDecoder(predictor, stream).stages()


def as_picture(image) -> Picture:
    """The picture that an argument of `compress` stands for.

    Raises:
        SmapcompError: It is none.
    """
    if isinstance(image, Picture):
        return image
    if hasattr(image, "getbands"):
        return Picture.from_image(image)
    return Picture.from_array(image)


def info(data: bytes) -> dict:
    """What a stream says of itself; neither weights nor networks are loaded.

    Args:
        data: What `compress` returned.

    Returns:
        JSON-ready dict: `format_version`, `width`, `height`, `channels`, `mode`, `variant`,
        `alpha`, `metadata` (of icc, exif, xmp), `lossless`, `robust`, `compact_scale`,
        `compact_step`, `compact_quality`, `compact_gain`, `tiles` (side, overlap),
        `residual_range`, the digests in hexadecimal (None where there is none), `bytes` and `bpp`
        of the whole, `header_bytes`, and `layers`: a list of `kind`, `coder`, `bytes` and `bpp`.

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
        "format_version": stream.version,
        "width": stream.width,
        "height": stream.height,
        "channels": stream.channels,
        "mode": stream.mode,
        "variant": stream.variant,
        "alpha": stream.layer("alpha") is not None,
        "metadata": [k for k in ("icc", "exif", "xmp") if stream.layer(k) is not None],
        "lossless": stream.lossless,
        "robust": stream.layer("rounding") is not None,
        "compact_scale": stream.compact_scale,
        "compact_step": stream.compact_step,
        "compact_quality": stream.compact_quality,
        "compact_gain": stream.compact_gain,
        "tiles": stream.tiling and [stream.tiling.side, stream.tiling.overlap],
        "residual_range": [stream.residual_low, stream.residual_high],
        "model_digest": stream.model_digest.hex(),
        "label_digest": stream.label_digest and stream.label_digest.hex(),
        "prediction_digest": stream.prediction_digest.hex(),
        "bytes": len(data),
        "bpp": 8 * len(data) / pixels,
        "header_bytes": header,
        "layers": layers,
    }
