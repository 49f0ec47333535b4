"""What each output format can hold, and the options by which Pillow writes it."""

import logging
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, PngImagePlugin, TiffImagePlugin, TiffTags

from smapcomp.pictures import metadata as pillow_metadata
from smapcomp.pictures.picture import Picture

_log = logging.getLogger("smapcomp")

_XMP_KEYWORD = b"XML:com.adobe.xmp"
# A JPEG marker holds 65,533 bytes, the name of what is in it included.
_JPEG_EXIF_BYTES = 65533 - len(pillow_metadata.EXIF_PREFIX)
_JPEG_XMP_BYTES = 65533 - len(b"http://ns.adobe.com/xap/1.0/\0")
_NAMES = {"icc": "the colour profile", "exif": "EXIF", "xmp": "XMP"}


@dataclass(frozen=True)
class Format:
    """An output format: Pillow's name and options, and what it holds besides the samples."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    alpha: bool = False
    metadata: bool = False
    grey: bool = True


# Without loss where the format allows it; what remains lossy is close to it and keeps full chroma.
_AVIF = Format("AVIF", {"quality": 100, "subsampling": "4:4:4"}, alpha=True, metadata=True)
_JPEG = Format("JPEG", {"quality": 95, "subsampling": "4:4:4"}, metadata=True)
_TIFF = Format("TIFF", {"compression": "tiff_adobe_deflate"}, alpha=True, metadata=True)
# Unless it must be exact WebP writes what it likes where a pixel is transparent.
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


def save_options(picture: Picture, entry: Format, path: object) -> dict[str, Any]:
    """Options of `Image.save` for a picture, its metadata included.

    Metadata that the format cannot hold are left out with a notice that names `path`.
    """
    kept = _held(picture, entry)
    lost = [_NAMES[kind] for kind in _NAMES if getattr(picture, kind) and kind not in kept]
    if lost:
        _log.warning("%s: %s cannot hold %s; left out", path, entry.name, ", ".join(lost))
    options = dict(entry.options)
    if "icc" in kept:
        options["icc_profile"] = kept["icc"]
    if entry.name == "TIFF":
        return options | _tiff_tags(kept)
    if "exif" in kept:
        options["exif"] = pillow_metadata.EXIF_PREFIX + kept["exif"]
    if "xmp" in kept and entry.name == "PNG":
        chunk = PngImagePlugin.PngInfo()
        # Neither compressed nor of a language.
        chunk.add(b"iTXt", _XMP_KEYWORD + bytes(5) + kept["xmp"])
        options["pnginfo"] = chunk
    elif "xmp" in kept:
        options["xmp"] = kept["xmp"]
    return options


def _held(picture: Picture, entry: Format) -> dict[str, bytes]:
    """The metadata of the picture that the format can hold."""
    kept = {kind: getattr(picture, kind) for kind in _NAMES if getattr(picture, kind)}
    if not entry.metadata:
        return {}
    written_channels = picture.samples.shape[2] if entry.grey else 3
    # AVIF of grey and alpha is RGB too, since Pillow knows no other.
    if entry.name == "AVIF" and picture.alpha is not None:
        written_channels = 3
    if "icc" in kept and not pillow_metadata.fits(kept["icc"], written_channels):
        del kept["icc"]
    if entry.name == "JPEG":
        limits = {"exif": _JPEG_EXIF_BYTES, "xmp": _JPEG_XMP_BYTES}
        kept = {kind: data for kind, data in kept.items() if len(data) <= limits.get(kind, 1 << 24)}
    return kept


def _tiff_tags(kept: dict[str, bytes]) -> dict[str, Any]:
    """EXIF and XMP are tags among others in TIFF."""
    tags = Image.Exif()
    if "exif" in kept:
        tags.load(pillow_metadata.EXIF_PREFIX + kept["exif"])
    if "xmp" in kept:
        tags[TiffImagePlugin.XMP] = kept["xmp"]
    if not tags:
        return {}
    # Pillow cannot write directories within directories, which EXIF has, together with compression.
    nested = any(tag in TiffTags.TAGS_V2_GROUPS for tag in tags)
    return {"exif": tags, **({"compression": None} if nested else {})}
