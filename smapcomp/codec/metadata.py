"""The layers of metadata: a colour profile, EXIF and XMP, each deflated as a zlib stream."""

import zlib

from smapcomp.codec.stream import Layer
from smapcomp.errors import PayloadError, SmapcompError

METADATA_KINDS = ("icc", "exif", "xmp")
# Decided here: a hundred times what cameras and editors write, and harmless to hold in memory.
MAX_METADATA_BYTES = 1 << 24
_LEVEL = 9


def encode_metadata(kind: str, data: bytes) -> Layer:
    """Packs metadata into a layer.

    Args:
      kind: one of `METADATA_KINDS`.
      data: 1 to `MAX_METADATA_BYTES` bytes.

    Raises:
      SmapcompError: if they are of another kind, none or more.
    """
    if kind not in METADATA_KINDS:
        raise SmapcompError(f"metadata of kind {kind!r}; allowed are {', '.join(METADATA_KINDS)}")
    if not 0 < len(data) <= MAX_METADATA_BYTES:
        raise SmapcompError(f"{kind} of {len(data)} bytes; 1..{MAX_METADATA_BYTES} are allowed")
    return Layer(kind, "deflate", zlib.compress(data, _LEVEL))


def decode_metadata(layer: Layer) -> bytes:
    """Unpacks a layer of metadata.

    Raises:
      PayloadError: if it is no zlib stream of 1 to `MAX_METADATA_BYTES` bytes and nothing more.
    """
    stream = zlib.decompressobj()
    try:
        # One byte beyond the limit tells a stream of the largest size from a larger one.
        data = stream.decompress(layer.payload, MAX_METADATA_BYTES + 1)
    except zlib.error as error:
        raise PayloadError(f"{layer.kind} does not inflate: {error}") from error
    if len(data) > MAX_METADATA_BYTES:
        raise PayloadError(f"{layer.kind} inflates to more than {MAX_METADATA_BYTES} bytes")
    if not stream.eof:
        raise PayloadError(f"{layer.kind} is cut off after {len(data)} bytes")
    if stream.unused_data:
        raise PayloadError(
            f"{len(stream.unused_data)} bytes after the {layer.kind}; none are allowed"
        )
    if not data:
        raise PayloadError(f"{layer.kind} of 0 bytes; 1..{MAX_METADATA_BYTES} are allowed")
    return data
