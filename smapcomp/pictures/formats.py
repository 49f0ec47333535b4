"""Output formats: what each can store, and the options with which Pillow writes it."""

import logging
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, PngImagePlugin, TiffImagePlugin, TiffTags

from smapcomp.design import METADATA_KINDS
from smapcomp.pictures.metadata import EXIF_PREFIX, profile_fits
from smapcomp.pictures.picture import Picture

_log = logging.getLogger("smapcomp")

_XMP_KEYWORD = b"XML:com.adobe.xmp"
# A JPEG segment holds 65,533 bytes, including the name of its content.
_JPEG_EXIF_BYTES = 65533 - len(EXIF_PREFIX)
_JPEG_XMP_BYTES = 65533 - len(b"http://ns.adobe.com/xap/1.0/\0")
_NAMES = {"icc": "the colour profile", "exif": "EXIF", "xmp": "XMP"}


@dataclass(frozen=True)
class Format:
    """Output format.

    Attributes:
        name: Pillow's name of the format.
        options: Options of `Image.save`.
        alpha: Whether the format stores alpha.
        metadata: Whether the format stores colour profile, EXIF and XMP.
        grey: Whether the format stores grey pictures with one channel.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    alpha: bool = False
    metadata: bool = False
    grey: bool = True


# Formats that can be lossless are written so; the others with little loss and full chroma.
_AVIF = Format("AVIF", {"quality": 100, "subsampling": "4:4:4"}, alpha=True, metadata=True)
_JPEG = Format("JPEG", {"quality": 95, "subsampling": "4:4:4"}, metadata=True)
_TIFF = Format("TIFF", {"compression": "tiff_adobe_deflate"}, alpha=True, metadata=True)
# Without `exact`, WebP changes the colours of transparent pixels.
_WEBP = Format("WEBP", {"lossless": True, "exact": True}, alpha=True, metadata=True, grey=False)
FORMATS = {
    ".avif": _AVIF,
    ".bmp": Format("BMP"),
    ".jp2": Format("JPEG2000", {"irreversible": False}, alpha=True),
    ".jpeg": _JPEG,
    ".jpg": _JPEG,
    ".pgm": Format("PPM"),
    ".png": Format("PNG", alpha=True, metadata=True),
    ".ppm": Format("PPM"),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _WEBP,
}
"""Formats by file extension."""


def save_options(picture: Picture, entry: Format, path: object) -> dict[str, Any]:
    """Return the options of `Image.save` for a picture, its metadata included.

    A warning on the logger "smapcomp" tells of metadata that the format cannot store.

    Args:
        picture: The picture.
        entry: Output format.
        path: File to be written, for the warning.
    """
    kept = _storable_metadata(picture, entry)
    lost = [_NAMES[kind] for kind in METADATA_KINDS if getattr(picture, kind) and kind not in kept]
    if lost:
        _log.warning("%s: %s cannot hold %s; left out", path, entry.name, ", ".join(lost))
    options = dict(entry.options)
    if "icc" in kept:
        options["icc_profile"] = kept["icc"]
    if entry.name == "TIFF":
        return options | _tiff_tags(kept)
    if "exif" in kept:
        options["exif"] = EXIF_PREFIX + kept["exif"]
    if "xmp" in kept and entry.name == "PNG":
        chunk = PngImagePlugin.PngInfo()
        # Five zero bytes: end of keyword, no compression, and no language.
        chunk.add(b"iTXt", _XMP_KEYWORD + bytes(5) + kept["xmp"])
        options["pnginfo"] = chunk
    elif "xmp" in kept:
        options["xmp"] = kept["xmp"]
    return options


def _storable_metadata(picture: Picture, entry: Format) -> dict[str, bytes]:
    """Return the metadata of a picture that the format can store, by `METADATA_KINDS`."""
    kept = {kind: getattr(picture, kind) for kind in METADATA_KINDS if getattr(picture, kind)}
    if not entry.metadata:
        return {}
    written_channels = picture.samples.shape[2] if entry.grey else 3
    # Pillow writes grey with alpha as RGB in AVIF.
    if entry.name == "AVIF" and picture.alpha is not None:
        written_channels = 3
    if "icc" in kept and not profile_fits(kept["icc"], written_channels):
        del kept["icc"]
    if entry.name == "JPEG":
        limits = {"exif": _JPEG_EXIF_BYTES, "xmp": _JPEG_XMP_BYTES}
        kept = {kind: data for kind, data in kept.items() if len(data) <= limits.get(kind, 1 << 24)}
    return kept


def _tiff_tags(kept: dict[str, bytes]) -> dict[str, Any]:
    """Return the options that store EXIF and XMP as tags of a TIFF."""
    tags = Image.Exif()
    if "exif" in kept:
        tags.load(EXIF_PREFIX + kept["exif"])
    if "xmp" in kept:
        tags[TiffImagePlugin.XMP] = kept["xmp"]
    if not tags:
        return {}
    # Pillow cannot write nested directories, which EXIF has, together with compression.
    nested = any(tag in TiffTags.TAGS_V2_GROUPS for tag in tags)
    return {"exif": tags, **({"compression": None} if nested else {})}
