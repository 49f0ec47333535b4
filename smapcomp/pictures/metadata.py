"""Colour profile, EXIF and XMP of Pillow images: found, set upright, held against the samples."""

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
_ORIENTATION = int(ExifTags.Base.Orientation)
_SHORT = 3

# What a TIFF file says of the photograph, not of how its own samples are stored.
_TIFF_TAGS_TO_KEEP = {
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
# A profile whose colours are all this close to sRGB's, of 255, is sRGB: published ones differ by 1.
_SRGB_TOLERANCE = 2


@dataclass(frozen=True)
class Metadata:
    """The EXIF orientation, 1..8, and the bytes that `picture.Picture` carries."""

    orientation: int = 1
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


def metadata_of(image: Image.Image, name: object) -> Metadata:
    """Collects the metadata of an image; damaged EXIF is left out with a notice.

    TIFF files must be asked before they are loaded, since Pillow turns them and forgets their tags
    then, PNG files after that, since metadata may follow the samples.
    """
    icc = image.info.get("icc_profile") or None
    found = Metadata(icc=icc, xmp=_xmp(image))
    # Pillow's parser raises nearly anything on damaged EXIF; the picture is none the worse for it.
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
    """Returns EXIF without the prefix that it has in JPEG.

    Raises:
      SmapcompError: what is left is no TIFF structure.
    """
    bare = exif.removeprefix(EXIF_PREFIX)
    if bare[:4] not in (b"II*\0", b"MM\0*"):
        raise SmapcompError(f"EXIF starts with {bare[:4].hex()}; a TIFF header is needed")
    return bare


def upright(metadata: Metadata) -> Metadata:
    """Sets the orientation to 1 in EXIF and XMP and leaves every other byte as it is."""
    return replace(
        metadata,
        orientation=1,
        exif=metadata.exif and _reset_exif(metadata.exif),
        xmp=metadata.xmp
        and re.sub(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[0-9]", rb"\g<1>1", metadata.xmp),
    )


def turned_upright(plane: np.ndarray, orientation: int) -> np.ndarray:
    """Applies an EXIF orientation, 1..8, to [H, W, ...]; returns an array in one piece."""
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
    """Returns the profile if it may go with samples of 1 or 3 channels that came from a mode.

    Says in a notice what becomes of a profile that is not kept, unless it is sRGB anyway.
    """
    if icc is None or mode in _CONVERTED_MODES:
        return None
    if not keep_metadata:
        if not is_srgb(icc):
            _log.warning(
                "%s: the colour profile %s is not applied, the samples are taken as they are; "
                "--keep_metadata keeps it",
                name,
                _description(icc),
            )
        return None
    if not fits(icc, channels):
        _log.warning("%s: the colour profile is not for such samples and left out", name)
        return None
    return icc


def fits(icc: bytes, channels: int) -> bool:
    """Whether a profile is one for grey (1 channel) or RGB (3) samples."""
    return icc[16:20] == _ICC_SPACES[channels]


def is_srgb(icc: bytes) -> bool:
    """Whether a profile maps colours to themselves in sRGB, up to rounding."""
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
        shown = ImageCms.profileToProfile(colours, profile, srgb, outputMode="RGB")
    except ImageCms.PyCMSError:
        return False
    difference = np.asarray(shown).astype(int) - np.asarray(colours.convert("RGB"))
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
    """The bytes as they are in the file where Pillow hands them out, else written anew."""
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
        kept[tag] = tags.get_ifd(tag) if tag in iter(ExifTags.IFD) else tags[tag]
    described = set(kept) - {
        ExifTags.Base.Orientation,
        ExifTags.Base.XResolution,
        ExifTags.Base.YResolution,
        ExifTags.Base.ResolutionUnit,
    }
    return bare_exif(kept.tobytes()) if described else None


def _reset_exif(exif: bytes) -> bytes:
    """Writes 1 into the orientation entry of the first directory, if there is one."""
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
