"""EXIF: orientation, colour space, and the parts that describe the photograph."""

import struct

from PIL import ExifTags

from smapcomp.pictures.tiff_structure import (
    ASCII,
    BYTE,
    LARGEST_CLASSIC_TYPE,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Directory,
    Entry,
    TiffStructure,
    Tree,
)

ORIENTATION = int(ExifTags.Base.Orientation)
EXIF_IFD = int(ExifTags.IFD.Exif)
GPS_IFD = int(ExifTags.IFD.GPSInfo)
INTEROP_IFD = int(ExifTags.IFD.Interop)
COLOUR_SPACE = int(ExifTags.Base.ColorSpace)

HEADERS = (b"II*\0", b"MM\0*")
"""First bytes of EXIF without prefix, for either order of bytes."""

_TAGS = ExifTags.Base
_UNDESCRIPTIVE: set[int] = {_TAGS.XResolution, _TAGS.YResolution, _TAGS.ResolutionUnit}

# Tags of the first directory that describe the photograph, and types that readers of TIFF expect.
_PLAIN_TAGS: dict[int, tuple[int, ...]] = {
    _TAGS.DocumentName: (ASCII,),
    _TAGS.ImageDescription: (ASCII,),
    _TAGS.Make: (ASCII,),
    _TAGS.Model: (ASCII,),
    _TAGS.XResolution: (RATIONAL,),
    _TAGS.YResolution: (RATIONAL,),
    _TAGS.ResolutionUnit: (SHORT,),
    _TAGS.Software: (ASCII,),
    _TAGS.DateTime: (ASCII,),
    _TAGS.Artist: (ASCII,),
    _TAGS.HostComputer: (ASCII,),
    _TAGS.Rating: (SHORT,),
    _TAGS.RatingPercent: (SHORT,),
    _TAGS.Copyright: (ASCII,),
    _TAGS.XPTitle: (BYTE,),
    _TAGS.XPComment: (BYTE,),
    _TAGS.XPAuthor: (BYTE,),
    _TAGS.XPKeywords: (BYTE,),
    _TAGS.XPSubject: (BYTE,),
    _TAGS.PrintImageMatching: (UNDEFINED,),
}

# Tags of the first directory that describe how a file stores samples, which is not how another
# file does. The orientation is not copied but read, whatever the type of its entry.
_STORAGE_TAGS: set[int] = {
    _TAGS.NewSubfileType,
    _TAGS.SubfileType,
    _TAGS.ImageWidth,
    _TAGS.ImageLength,
    _TAGS.BitsPerSample,
    _TAGS.Compression,
    _TAGS.PhotometricInterpretation,
    _TAGS.FillOrder,
    _TAGS.StripOffsets,
    _TAGS.Orientation,
    _TAGS.SamplesPerPixel,
    _TAGS.RowsPerStrip,
    _TAGS.StripByteCounts,
    _TAGS.PlanarConfiguration,
    _TAGS.Predictor,
    _TAGS.ColorMap,
    _TAGS.TileWidth,
    _TAGS.TileLength,
    _TAGS.TileOffsets,
    _TAGS.TileByteCounts,
    _TAGS.ExtraSamples,
    _TAGS.SampleFormat,
    _TAGS.JPEGTables,
    _TAGS.YCbCrCoefficients,
    _TAGS.YCbCrSubSampling,
    _TAGS.YCbCrPositioning,
    _TAGS.ReferenceBlackWhite,
}


def is_readable(exif: bytes) -> bool:
    """Return whether EXIF has the header of TIFF and a whole first directory."""
    if not exif.startswith(HEADERS):
        return False
    structure = TiffStructure(exif)
    return structure.directory(structure.first).is_whole


def orientation(structure: TiffStructure) -> int | None:
    """Return the orientation of the first directory.

    Returns:
        1..8; 1 if the value is not allowed; `None` if there is no entry.
    """
    entry = structure.directory(structure.first).last(ORIENTATION)
    if entry is None:
        return None
    value = entry.values()[0]
    return int(value) if value in range(1, 9) else 1


def declares_adobe_rgb(exif: bytes) -> bool:
    """Return whether EXIF says that the samples are Adobe RGB (DCF 2.0, section 5.3)."""
    structure = TiffStructure(exif)
    directory = structure.pointed(structure.directory(structure.first), EXIF_IFD)
    space = directory.last(COLOUR_SPACE) if directory else None
    if directory is None or space is None:
        return False
    interop = structure.pointed(directory, INTEROP_IFD)
    index = interop.last(1) if interop else None
    is_r03 = index is not None and index.data[:3] == b"R03"
    value = space.values()[0]
    return value == 2 or (value == 0xFFFF and is_r03)


def reset_orientation(exif: bytes) -> bytes:
    """Return EXIF with 1 in each orientation entry; other bytes do not change."""
    return _with_short(exif, ORIENTATION, 1)


def reset_colour_space(exif: bytes) -> bytes:
    """Return EXIF with 1 (sRGB) in each entry of the colour space; other bytes do not change."""
    return _with_short(exif, COLOUR_SPACE, 1)


def _with_short(exif: bytes, tag: int, value: int) -> bytes:
    structure = TiffStructure(exif)
    changed = bytearray(exif)
    for directory in structure.chain():
        photo = structure.pointed(directory, EXIF_IFD)
        for entry in (*directory.entries, *(photo.entries if photo else ())):
            if entry.tag == tag:
                short = struct.pack(structure.order + "HIHH", SHORT, 1, value, 0)
                changed[entry.position + 2 : entry.position + 12] = short
    return bytes(changed)


def without_orientation(exif: bytes) -> bytes:
    """Return EXIF without orientation entries in the first directory.

    The table gets shorter, and no value moves.
    """
    structure = TiffStructure(exif)
    start = structure.first
    directory = structure.directory(start)
    if not directory.is_whole:
        return exif
    (count,) = struct.unpack_from(structure.order + "H", exif, start)
    table = [exif[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    tag = struct.pack(structure.order + "H", ORIENTATION)
    kept = [row for row in table if row[:2] != tag]
    end = start + 2 + 12 * count
    rows = struct.pack(structure.order + "H", len(kept)) + b"".join(kept) + exif[end : end + 4]
    return exif[:start] + rows.ljust(end + 4 - start, b"\0") + exif[end + 4 :]


def descriptive_tree(structure: TiffStructure) -> tuple[Tree, list[str]]:
    """Return what describes the photograph, and not how a file stores samples.

    The values of the first directory have the types that readers of TIFF require. A file that has
    them can be read as before.

    Args:
        structure: EXIF or a TIFF file.

    Returns:
        The entries, and the names of other parts, apart from entries that describe the storage of
        samples in the file from which EXIF comes.
    """
    first = structure.directory(structure.first)
    kept = {}
    left_out = [_name(tag) for tag in first.broken if tag not in _STORAGE_TAGS]
    for entry in first.entries:
        if entry.tag in (EXIF_IFD, GPS_IFD) or entry.tag in _STORAGE_TAGS:
            continue
        if _is_plain(entry):
            kept[entry.tag] = entry
        else:
            left_out.append(_name(entry.tag))
    nested = {}
    for tag in (EXIF_IFD, GPS_IFD):
        directory = structure.pointed(first, tag)
        if directory is not None:
            nested[tag] = _nested_tree(structure, directory, left_out)
        elif any(entry.tag == tag for entry in first.entries):
            left_out.append(_name(tag))
    nested = {tag: tree for tag, tree in nested.items() if tree.entries or tree.nested}
    return Tree(tuple(kept.values()), nested), sorted(set(left_out))


def _nested_tree(structure: TiffStructure, directory: Directory, left_out: list[str]) -> Tree:
    interop = structure.pointed(directory, INTEROP_IFD)
    kept = [entry for entry in directory.entries if entry.kind <= LARGEST_CLASSIC_TYPE]
    lost = [entry.tag for entry in directory.entries if entry.kind > LARGEST_CLASSIC_TYPE]
    left_out += [_name(tag) for tag in (*directory.broken, *lost)]
    entries = tuple(entry for entry in kept if entry.tag != INTEROP_IFD)
    if interop is None:
        return Tree(entries)
    return Tree(entries, {INTEROP_IFD: Tree(_nested_tree(structure, interop, left_out).entries)})


def _is_plain(entry: Entry) -> bool:
    """Return whether a reader of TIFF accepts an entry of the first directory."""
    if entry.kind not in _PLAIN_TAGS.get(entry.tag, ()):
        return False
    if entry.kind == ASCII:
        return True
    if entry.kind == RATIONAL:
        return entry.count == 1 and entry.values()[0] > 0
    if entry.kind == SHORT:
        allowed = range(1, 4) if entry.tag == ExifTags.Base.ResolutionUnit else range(1 << 16)
        return entry.count == 1 and entry.values()[0] in allowed
    return True


def _name(tag: int) -> str:
    return ExifTags.TAGS.get(tag, f"tag {tag}")


def exif_of_tiff(structure: TiffStructure) -> bytes | None:
    """Return EXIF of a TIFF file; `None` if its directories do not describe a photograph."""
    tree, _ = descriptive_tree(structure)
    described = {entry.tag for entry in tree.entries} - _UNDESCRIPTIVE
    if not described and not tree.nested:
        return None
    magic = HEADERS[structure.order == ">"]
    return magic + struct.pack(structure.order + "I", 8) + tree.pack(structure.order, 8)
