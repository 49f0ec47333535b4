"""Metadata of Pillow images: colour profile, EXIF and XMP, and the EXIF orientation."""

import io
import logging
import re
import struct
from dataclasses import dataclass, replace

import numpy as np
from PIL import ExifTags, Image, ImageCms

from smapcomp.errors import SmapcompError

_log = logging.getLogger("smapcomp")

EXIF_PREFIX = b"Exif\0\0"
"""Bytes before the TIFF structure of EXIF in JPEG and in Pillow's `info`."""

INFO_KEYS = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
"""Key in the `info` of a Pillow image for each of `METADATA_KINDS`."""

_ORIENTATION = int(ExifTags.Base.Orientation)
_SHORT = 3

# Tags of a TIFF file that describe the photograph and not how the file stores its samples.
_TIFF_TAGS_TO_KEEP: set[int] = {
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Orientation,
    ExifTags.Base.XResolution,
    ExifTags.Base.YResolution,
    ExifTags.Base.ResolutionUnit,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
    ExifTags.Base.Copyright,
    ExifTags.IFD.Exif,
    ExifTags.IFD.GPSInfo,
}

_ICC_SPACES = {1: b"GRAY", 3: b"RGB "}
_CONVERTED_MODES = ("CMYK", "LAB", "HSV")
# A profile whose colours differ from sRGB's by at most this, in 0..255, counts as sRGB; published
# sRGB profiles differ by 1.
_SRGB_TOLERANCE = 2


@dataclass(frozen=True)
class Metadata:
    """Metadata of an image.

    Attributes:
        orientation: EXIF orientation, 1..8.
        icc: Colour profile, as in `picture.Picture`.
        exif: EXIF, as in `picture.Picture`.
        xmp: XMP, as in `picture.Picture`.
    """

    orientation: int = 1
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


def read_metadata(image: Image.Image, name: object) -> Metadata:
    """Return the metadata of an image; damaged EXIF is left out with a warning.

    Call it for a TIFF file before the image is loaded, since Pillow then turns the image and
    forgets its tags; for a PNG file after that, since metadata may follow the samples.

    Args:
        image: The image.
        name: Name of the picture for the warning.
    """
    icc = image.info.get("icc_profile") or None
    found = Metadata(icc=icc, xmp=_xmp(image))
    # Pillow's parser may raise almost any exception on damaged EXIF, which harms no pixels.
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
        exif = _exif(image)
    except Exception:
        _log.warning("%s: the EXIF metadata are damaged and left out", name)
        return found
    if orientation not in range(1, 9):
        orientation = 1
    return replace(found, orientation=orientation, exif=exif)


def bare_exif(exif: bytes) -> bytes:
    """Return EXIF without `EXIF_PREFIX`.

    Raises:
        SmapcompError: The rest is not a TIFF structure.
    """
    bare = exif.removeprefix(EXIF_PREFIX)
    if bare[:4] not in (b"II*\0", b"MM\0*"):
        raise SmapcompError(f"EXIF starts with {bare[:4].hex()}; a TIFF header is needed")
    return bare


def reset_orientation(metadata: Metadata) -> Metadata:
    """Return metadata whose orientation is 1, in EXIF and XMP too; other bytes do not change."""
    return replace(
        metadata,
        orientation=1,
        exif=metadata.exif and _reset_exif(metadata.exif),
        xmp=metadata.xmp
        and re.sub(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[0-9]", rb"\g<1>1", metadata.xmp),
    )


def apply_orientation(plane: np.ndarray, orientation: int) -> np.ndarray:
    """Turn samples `[height, width, ...]` upright.

    Args:
        plane: Samples as stored.
        orientation: EXIF orientation, 1..8.

    Returns:
        A contiguous array.
    """
    if orientation >= 5:
        plane = plane.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        plane = plane[::-1]
    if orientation in (2, 3, 6, 7):
        plane = plane[:, ::-1]
    return np.ascontiguousarray(plane)


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
                "%s: the colour profile %s is neither applied nor kept; --keep_metadata keeps it",
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


def _description(icc: bytes) -> str:
    try:
        text = ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(icc)))
    except ImageCms.PyCMSError:
        return "(damaged)"
    return repr(" ".join(text.split()))


def _xmp(image: Image.Image) -> bytes | None:
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    return xmp if isinstance(xmp, bytes) and xmp else None


def _exif(image: Image.Image) -> bytes | None:
    """Return the bytes of the file if Pillow provides them, else EXIF that Pillow writes anew."""
    exif = image.info.get("exif")
    if isinstance(exif, bytes) and exif:
        return bare_exif(exif)
    if "Raw profile type exif" in image.info:
        return bare_exif(image.getexif().tobytes())
    if not hasattr(image, "tag_v2"):
        return None
    kept = Image.Exif()
    tags = image.getexif()
    for tag in _TIFF_TAGS_TO_KEEP & set(tags):
        kept[tag] = tags.get_ifd(tag) if tag in set(map(int, ExifTags.IFD)) else tags[tag]
    described = set(kept) - {
        ExifTags.Base.Orientation,
        ExifTags.Base.XResolution,
        ExifTags.Base.YResolution,
        ExifTags.Base.ResolutionUnit,
    }
    return bare_exif(kept.tobytes()) if described else None


def _reset_exif(exif: bytes) -> bytes:
    """Return EXIF with 1 in the orientation entry of the first directory, if there is one."""
    order = "<" if exif[:1] == b"I" else ">"
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            if struct.unpack_from(order + "H", exif, entry) == (_ORIENTATION,):
                value = struct.pack(order + "HIHH", _SHORT, 1, 1, 0)
                return exif[: entry + 2] + value + exif[entry + 12 :]
    except struct.error:
        pass
    return exif
