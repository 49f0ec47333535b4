"""Metadata of Pillow images: colour profile, EXIF and XMP, and their orientation."""

import logging
import re
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from smapcomp.design import MAX_METADATA_BYTES
from smapcomp.errors import SmapcompError
from smapcomp.pictures import exif as exif_structure
from smapcomp.pictures.tiff_structure import TiffStructure

_log = logging.getLogger("smapcomp")

EXIF_PREFIX = b"Exif\0\0"
"""Bytes before the TIFF structure of EXIF in JPEG and in Pillow's `info`."""

INFO_KEYS = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
"""Key in the `info` of a Pillow image for each of `METADATA_KINDS`."""

RAW_PROFILES = {
    f"Raw profile type {name}": kind
    for name, kind in (
        ("exif", "exif"),
        ("EXIF", "exif"),
        ("APP1", "app1"),
        ("app1", "app1"),
        ("xmp", "xmp"),
        ("XMP", "xmp"),
        ("icc", "icc"),
        ("icm", "icc"),
    )
}
"""Keywords of text in PNG files with hexadecimal metadata, as ImageMagick and others write them."""

_NAMES = {"icc": "colour profile", "exif": "EXIF", "xmp": "XMP"}
_XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)([0-9]+)")


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
    """Return the metadata of an image.

    Metadata that are damaged or longer than `MAX_METADATA_BYTES` are left out with a warning on the
    logger "smapcomp".

    Call it for a TIFF file before the image is loaded, since Pillow then turns the image and
    forgets its tags; for a PNG file after that, since metadata may follow the samples.

    Args:
        image: The image.
        name: Name of the picture for the warning.
    """
    profiles = _raw_profiles(image)
    found = {
        "icc": _as_bytes(image.info.get("icc_profile")) or profiles.get("icc"),
        "xmp": _xmp(image) or profiles.get("xmp"),
        "exif": None,
    }
    orientation = None
    is_damaged = False
    # The file of a TIFF image is closed when the image is loaded.
    tiff_file = getattr(image, "fp", None) if hasattr(image, "tag_v2") else None
    if tiff_file is not None:
        place = tiff_file.tell()
        tiff = TiffStructure(tiff_file)
        orientation = exif_structure.orientation(tiff)
        found["exif"] = exif_structure.exif_of_tiff(tiff)
        tiff_file.seek(place)
    elif hasattr(image, "tag_v2"):
        # Pillow keeps what it read of a loaded file, and may raise any exception when it writes it.
        try:
            loaded = TiffStructure(_without_prefix(image.getexif().tobytes()))
            found["exif"] = exif_structure.exif_of_tiff(loaded)
        except Exception:
            is_damaged = True
    else:
        stored = _as_bytes(image.info.get("exif")) or profiles.get("exif")
        if stored:
            bare = _without_prefix(stored)
            is_damaged = not exif_structure.is_readable(bare)
            if bare.startswith(exif_structure.HEADERS):
                orientation = exif_structure.orientation(TiffStructure(bare))
            found["exif"] = None if is_damaged else bare
    if is_damaged:
        _log.warning("%s: the EXIF metadata are damaged and left out", name)
    if orientation is None:
        orientation = _xmp_orientation(found["xmp"])
    for kind, data in found.items():
        if data is not None and len(data) > MAX_METADATA_BYTES:
            _log.warning(
                "%s: the %s of %d bytes is left out; up to %d are kept",
                name,
                _NAMES[kind],
                len(data),
                MAX_METADATA_BYTES,
            )
            found[kind] = None
    return Metadata(orientation, found["icc"], found["exif"], found["xmp"])


def bare_exif(exif: bytes) -> bytes:
    """Return EXIF without `EXIF_PREFIX`.

    Raises:
        SmapcompError: The rest is not a TIFF structure.
    """
    bare = _without_prefix(exif)
    if not bare.startswith(exif_structure.HEADERS):
        raise SmapcompError(f"EXIF starts with {bare[:4].hex()}; a TIFF header is needed")
    return bare


def reset_orientation(metadata: Metadata) -> Metadata:
    """Return metadata whose orientation is 1, in EXIF and XMP too; other bytes do not change."""
    return replace(
        metadata,
        orientation=1,
        exif=metadata.exif and exif_structure.reset_orientation(metadata.exif),
        xmp=metadata.xmp and _XMP_ORIENTATION.sub(rb"\g<1>1", metadata.xmp),
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


def _without_prefix(exif: bytes) -> bytes:
    # Some programs write the prefix twice.
    while exif.startswith(EXIF_PREFIX):
        exif = exif[len(EXIF_PREFIX) :]
    return exif


def _as_bytes(data: object) -> bytes | None:
    if isinstance(data, str):
        # Characters that UTF-8 lacks cannot come from a file.
        data = data.encode("utf-8", "replace")
    return data if isinstance(data, bytes) and data else None


def _xmp(image: Image.Image) -> bytes | None:
    return _as_bytes(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))


def _xmp_orientation(xmp: bytes | None) -> int:
    match = _XMP_ORIENTATION.search(xmp or b"")
    value = int(match[2][:9]) if match else 1
    return value if 1 <= value <= 8 else 1


def _raw_profiles(image: Image.Image) -> dict[str, bytes]:
    """Return the metadata of a PNG file that text contains in hexadecimal."""
    found: dict[str, bytes] = {}
    for keyword, kind in RAW_PROFILES.items():
        text = image.info.get(keyword)
        data = _decode_raw_profile(text) if isinstance(text, str) else None
        if not data:
            continue
        if kind == "app1":
            kind = "xmp" if data.startswith(_XMP_PREFIX) else "exif"
        found.setdefault(kind, data.removeprefix(_XMP_PREFIX))
    return found


def _decode_raw_profile(text: str) -> bytes | None:
    """Return the data of a text of name, length and hexadecimal digits in lines.

    What follows the stated number of bytes is ignored.
    """
    match = re.match(r"\s*\S+\s+([0-9]{1,10})\s", text)
    if match is None:
        return None
    length = int(match[1])
    digits = re.sub(r"\s+", "", text[match.end() :])[: 2 * length]
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        return None
    return data if len(data) == length else None
