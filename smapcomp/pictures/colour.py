"""Colour profiles: whether they fit, whether they are sRGB, and the conversion to sRGB."""

import io
import logging
from dataclasses import replace
from typing import cast

import numpy as np
from PIL import Image, ImageCms

from smapcomp.pictures import exif
from smapcomp.pictures.colour_tags import ADOBE_RGB, ColourSpace
from smapcomp.pictures.metadata import Metadata
from smapcomp.pictures.strips import strips

_log = logging.getLogger("smapcomp")

_ICC_SPACES = {1: b"GRAY", 3: b"RGB "}
_CONVERTED_MODES = ("CMYK", "LAB", "HSV")
# A profile whose colours differ from sRGB's by at most this, in 0..255, counts as sRGB; published
# sRGB profiles differ by 1.
_SRGB_TOLERANCE = 2


def settle_colours(
    samples: np.ndarray,
    mode: str,
    metadata: Metadata,
    declared: ColourSpace | str | None,
    *,
    keep_metadata: bool,
    to_srgb: bool,
    name: object,
) -> tuple[np.ndarray, Metadata]:
    """Apply, keep or leave out the colour profile or the declared colour space of samples.

    A warning on the logger "smapcomp" tells of what is neither applied nor kept, unless it is sRGB.

    Args:
        samples: uint8 `[height, width, 3]` (RGB) or `[height, width, 1]` (grey).
        mode: Pillow's mode of the image that the samples come from.
        metadata: Metadata of the file.
        declared: Result of `declared_space`; it is used if there is no profile.
        keep_metadata: Whether profiles are kept.
        to_srgb: Whether they are applied.
        name: Name of the picture for the warning.

    Returns:
        The samples, and the metadata with the profile of these samples or without profile.
    """
    icc = metadata.icc
    channels = samples.shape[2]
    if mode in _CONVERTED_MODES:
        return samples, replace(metadata, icc=None)
    if icc is None and isinstance(declared, ColourSpace):
        icc = declared.profile(channels)
    elif icc is None and declared is not None:
        _log.warning(
            "%s: the %s, which is not kept: the picture will look wrong without it", name, declared
        )
        return samples, metadata
    says_adobe_rgb = icc is None and metadata.exif and exif.declares_adobe_rgb(metadata.exif)
    # Whoever keeps EXIF keeps what it says.
    if says_adobe_rgb and (to_srgb or not keep_metadata):
        icc = ADOBE_RGB.profile(channels)
    if icc is not None and to_srgb:
        kept_exif = metadata.exif and exif.reset_colour_space(metadata.exif)
        samples = convert_to_srgb(samples, icc, name)
        return samples, replace(metadata, icc=None, exif=kept_exif)
    return samples, replace(metadata, icc=usable_icc(icc, mode, channels, keep_metadata, name))


def usable_icc(
    icc: bytes | None, mode: str, channels: int, keep_metadata: bool, name: object
) -> bytes | None:
    """Return a colour profile if it describes the samples of a picture and may be kept.

    A warning on the logger "smapcomp" tells of a profile that is not kept, unless it is sRGB.

    Args:
        icc: The profile.
        mode: Pillow's mode of the image that the samples come from.
        channels: Channels of the samples, 1 or 3.
        keep_metadata: Whether profiles are kept.
        name: Name of the picture for the warning.
    """
    if icc is None or mode in _CONVERTED_MODES:
        return None
    if not keep_metadata:
        if not is_srgb(icc):
            _log.warning(
                "%s: the colour profile %s is neither applied nor kept; --keep_metadata keeps it, "
                "--to_srgb applies it",
                name,
                _description(icc),
            )
        return None
    if not profile_fits(icc, channels):
        _log.warning("%s: the colour profile does not fit the samples and is left out", name)
        return None
    return icc


def profile_fits(icc: bytes, channels: int) -> bool:
    """Return whether a profile is for samples of 1 (grey) or 3 channels (RGB)."""
    return icc[16:20] == _ICC_SPACES[channels]


def is_srgb(icc: bytes) -> bool:
    """Return whether a profile is that of sRGB, up to rounding."""
    steps = np.linspace(0, 255, 6).astype(np.uint8)
    if icc[16:20] == _ICC_SPACES[1]:
        colours = Image.fromarray(steps[None])
    elif icc[16:20] == _ICC_SPACES[3]:
        grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(6, -1, 3)
        colours = Image.fromarray(grid)
    else:
        return False
    try:
        profile = ImageCms.getOpenProfile(io.BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        mapped = ImageCms.profileToProfile(colours, profile, srgb, outputMode="RGB")
    except ImageCms.PyCMSError:
        return False
    difference = np.asarray(mapped).astype(int) - np.asarray(colours.convert("RGB"))
    return np.abs(difference).max() <= _SRGB_TOLERANCE


def convert_to_srgb(samples: np.ndarray, icc: bytes, name: object) -> np.ndarray:
    """Convert samples to sRGB.

    The intent is relative colorimetric with black point compensation, as in printing programs. If
    the profile does not fit or is damaged, the samples are returned as they are, and a warning on
    the logger "smapcomp" says so.

    Args:
        samples: uint8 `[height, width, 3]` (RGB) or `[height, width, 1]` (grey).
        icc: Profile of the samples.
        name: Name of the picture for the warning.

    Returns:
        uint8 `[height, width, 3]`, or `[height, width, 1]` if samples and profile are grey.
    """
    if is_srgb(icc):
        return samples
    channels = samples.shape[2]
    # A palette of grey colours may have a profile of RGB.
    widened = channels == 1 and profile_fits(icc, 3)
    if not widened and not profile_fits(icc, channels):
        _log.warning("%s: the colour profile does not fit the samples and is not applied", name)
        return samples
    mode = "RGB" if widened or channels == 3 else "L"
    try:
        transform = ImageCms.buildTransform(
            ImageCms.getOpenProfile(io.BytesIO(icc)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # The optimised transform of grey is up to 10 levels wrong in dark samples.
            ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOOPTIMIZE,
        )
    except ImageCms.PyCMSError:
        _log.warning("%s: the colour profile is damaged and is not applied", name)
        return samples
    height, width = samples.shape[:2]
    converted = np.empty((height, width, 3 if mode == "RGB" else 1), np.uint8)
    for rows in strips(height, width):
        part = samples[rows, :, 0] if channels == 1 else samples[rows]
        image = Image.fromarray(np.ascontiguousarray(part))
        if widened:
            image = image.convert("RGB")
        # The result is `None` only for a transform in place.
        mapped = cast(Image.Image, ImageCms.applyTransform(image, transform))
        # Grey stays grey: its red, green and blue are equal.
        converted[rows] = np.asarray(mapped)[:, :, : converted.shape[2]]
    return converted


def _description(icc: bytes) -> str:
    try:
        text = ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(icc)))
    except ImageCms.PyCMSError:
        return "(damaged)"
    return repr(" ".join(text.split()))
