"""The metadata layers (colour profile, EXIF, XMP), each deflated as a zlib stream."""

import zlib

from smapcomp.codec.bitstream.stream import Layer
from smapcomp.design import MAX_METADATA_BYTES, METADATA_KINDS
from smapcomp.errors import PayloadError, SmapcompError

_LEVEL = 9


def encode_metadata(kind: str, data: bytes) -> Layer:
    """Compress metadata into a layer.

    Args:
        kind: One of `METADATA_KINDS`.
        data: 1 to `MAX_METADATA_BYTES` bytes.

    Raises:
        SmapcompError: The kind is unknown, or the data are empty or too long.
    """
    if kind not in METADATA_KINDS:
        raise SmapcompError(f"metadata of kind {kind!r}; allowed are {', '.join(METADATA_KINDS)}")
    if not 0 < len(data) <= MAX_METADATA_BYTES:
        raise SmapcompError(f"{kind} of {len(data)} bytes; 1..{MAX_METADATA_BYTES} are allowed")
    return Layer(kind, "deflate", zlib.compress(data, _LEVEL))


def decode_metadata(layer: Layer) -> bytes:
    """Decompress a metadata layer.

    Raises:
        PayloadError: The payload is not a zlib stream of 1 to `MAX_METADATA_BYTES` bytes, or bytes
            follow it.
    """
    stream = zlib.decompressobj()
    try:
        # One byte more than allowed distinguishes data of the largest size from longer ones.
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
