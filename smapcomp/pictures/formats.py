"""Output formats: what each can store, and how Pillow writes it."""

import io
import logging
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image, PngImagePlugin

from smapcomp.design import METADATA_KINDS
from smapcomp.errors import one_line
from smapcomp.pictures import exif
from smapcomp.pictures.colour import profile_fits
from smapcomp.pictures.metadata import EXIF_PREFIX
from smapcomp.pictures.picture import Picture
from smapcomp.pictures.tiff_metadata import add_tiff_metadata
from smapcomp.pictures.tiff_structure import TiffStructure

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


def encode(picture: Picture, entry: Format, name: object) -> io.BytesIO:
    """Return the file of a picture.

    A warning on the logger "smapcomp" tells of metadata that are left out since the format or its
    writer does not take them.

    Args:
        picture: The picture.
        entry: Output format.
        name: Name of the output, for the warning.

    Raises:
        Exception: Pillow cannot write the picture, even without metadata.
    """
    kept, reasons = _storable_metadata(picture, entry)
    lost = [_NAMES[kind] for kind in METADATA_KINDS if getattr(picture, kind) and kind not in kept]
    image = replace(picture, icc=None, exif=None, xmp=None).to_image()
    try:
        file, left_out = _save(image, entry, kept)
    except MemoryError:
        raise
    except Exception as error:
        if not kept:
            raise
        # The fault may be the metadata's: Pillow may raise almost any exception on them.
        file, left_out = _save(image, entry, {})
        lost = [_NAMES[kind] for kind in METADATA_KINDS if getattr(picture, kind)]
        reasons = [one_line(error)]
    if lost:
        reason = f" ({'; '.join(reasons)})" if reasons else ""
        _log.warning("%s: %s cannot hold %s%s; left out", name, entry.name, ", ".join(lost), reason)
    if left_out:
        _log.warning(
            "%s: %s cannot hold all of EXIF; left out: %s", name, entry.name, ", ".join(left_out)
        )
    return file


def _save(
    image: Image.Image, entry: Format, kept: dict[str, bytes]
) -> tuple[io.BytesIO, list[str]]:
    """Return the file of an image with metadata, and the parts of EXIF that are left out."""
    # OpenJPEG never returns when a file cannot be written, so the file is made in memory.
    file = io.BytesIO()
    image.save(file, entry.name, **_save_options(entry, kept))
    left_out = []
    if entry.name == "TIFF" and ("exif" in kept or "xmp" in kept):
        left_out = add_tiff_metadata(file, kept.get("exif"), kept.get("xmp"))
    if "exif" in kept:
        _check_header(file, entry)
    return file, left_out


def _check_header(file: io.BytesIO, entry: Format) -> None:
    """Raise the exception that Pillow raises if metadata keep it from opening the file."""
    Image.init()
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # `Image.open` would apply Pillow's own limit of pixels.
        Image.OPEN[entry.name][0](file, "")


class _StoredExif(Image.Exif):
    """EXIF that Pillow's writer of AVIF stores as it is, instead of parsing and rewriting it.

    The orientation, which AVIF stores elsewhere, is the only entry that Pillow sees.
    """

    def __init__(self, data: bytes):
        super().__init__()
        # Pillow refuses files in which the two orientations differ.
        self._stored = EXIF_PREFIX + exif.without_orientation(data)
        self[exif.ORIENTATION] = exif.orientation(TiffStructure(data)) or 1

    def __bool__(self) -> bool:
        return True

    def tobytes(self, offset: int = 8) -> bytes:
        return self._stored


def _save_options(entry: Format, kept: dict[str, bytes]) -> dict[str, Any]:
    """Return the options of `Image.save` for metadata."""
    options = dict(entry.options)
    if "icc" in kept:
        options["icc_profile"] = kept["icc"]
    if entry.name == "TIFF":
        return options
    if "exif" in kept:
        options["exif"] = EXIF_PREFIX + kept["exif"]
    if "exif" in kept and entry.name == "AVIF":
        options["exif"] = _StoredExif(kept["exif"])
    if "xmp" in kept and entry.name == "PNG":
        chunk = PngImagePlugin.PngInfo()
        # Five zero bytes: end of keyword, no compression, and no language.
        chunk.add(b"iTXt", _XMP_KEYWORD + bytes(5) + kept["xmp"])
        options["pnginfo"] = chunk
    elif "xmp" in kept:
        options["xmp"] = kept["xmp"]
    return options


def _storable_metadata(picture: Picture, entry: Format) -> tuple[dict[str, bytes], list[str]]:
    """Return the metadata of a picture that a format can store, by `METADATA_KINDS`.

    Returns:
        The metadata, and reasons why others are left out if they are not the format's.
    """
    kept = {kind: getattr(picture, kind) for kind in METADATA_KINDS if getattr(picture, kind)}
    if not entry.metadata:
        return {}, []
    written_channels = picture.samples.shape[2] if entry.grey else 3
    # Pillow writes grey with alpha as RGB in AVIF.
    if entry.name == "AVIF" and picture.alpha is not None:
        written_channels = 3
    if "icc" in kept and not profile_fits(kept["icc"], written_channels):
        del kept["icc"]
    if entry.name == "JPEG":
        limits = {"exif": _JPEG_EXIF_BYTES, "xmp": _JPEG_XMP_BYTES}
        kept = {kind: data for kind, data in kept.items() if len(data) <= limits.get(kind, 1 << 24)}
    if "exif" in kept and not exif.is_readable(kept["exif"]):
        del kept["exif"]
        return kept, ["the EXIF is damaged"]
    return kept, []
