"""EXIF and XMP in TIFF files that Pillow has written without them.

Pillow's writer takes tags of EXIF for those of the file, and cannot write nested directories
together with compression.
"""

import io
import struct

from smapcomp.pictures.exif import ORIENTATION, descriptive_tree, orientation
from smapcomp.pictures.tiff_structure import BYTE, SHORT, Entry, TiffStructure, Tree

_XMP = 700

_THUMBNAIL = "the thumbnail"


def add_tiff_metadata(file: io.BytesIO, exif: bytes | None, xmp: bytes | None) -> list[str]:
    """Append a directory with the tags of the file and those of EXIF and XMP.

    Args:
        file: TIFF file of one picture. Its header is changed to point to the new directory.
        exif: EXIF without prefix, or `None`.
        xmp: XMP packet, or `None`.

    Returns:
        Names of the parts of EXIF that are left out.

    Raises:
        struct.error: The file exceeds 4 GiB.
    """
    structure = TiffStructure(file)
    directory = structure.directory(structure.first)
    described = Tree(())
    left_out: list[str] = []
    if exif is not None:
        source = TiffStructure(exif)
        described, left_out = descriptive_tree(source)
        if source.directory(source.first).following:
            left_out.append(_THUMBNAIL)
        turn = orientation(source) or 1
        if turn > 1:
            data = struct.pack(structure.order + "H", turn)
            entry = Entry(ORIENTATION, SHORT, 1, data, structure.order)
            described = Tree((*described.entries, entry), described.nested)
    if xmp is not None:
        described = Tree(
            (*described.entries, Entry(_XMP, BYTE, len(xmp), xmp, structure.order)),
            described.nested,
        )
    # Of two entries with one tag the last is written: the one of the file.
    tree = Tree((*described.entries, *directory.entries), described.nested)
    end = file.seek(0, io.SEEK_END)
    start = end + end % 2
    content = tree.pack(structure.order, start)
    pointer = struct.pack(structure.order + "I", start)
    file.write(bytes(end % 2) + content)
    file.seek(4)
    file.write(pointer)
    return left_out
