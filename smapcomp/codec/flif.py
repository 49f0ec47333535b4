"""Lossless FLIF of small uint8 images, by the program `flif` where it is installed."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from smapcomp.codec.coders.program import run_program
from smapcomp.errors import MissingCoderError, PayloadError, SmapcompError

PROGRAM = "flif"
INSTALL = "the layer needs it"
# Compact images take well under a second; a damaged file must not hold the decoder for ever.
TIMEOUT = 60
# Still pictures, plain or interlaced, by their number of channels.
_FORMATS = {ord("1"): 1, ord("A"): 1, ord("3"): 3, ord("C"): 3}
_EIGHT_BITS = ord("1")


def encode_flif(image: np.ndarray) -> bytes:
    """Codes uint8 [h, w, 1 or 3] losslessly, as the papers did: effort 100.

    Raises:
      MissingCoderError: if the program is not on PATH.
      SmapcompError: if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.png"), Path(folder, "out.flif")
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(source)
        try:
            run_program(PROGRAM, ["-e", "-E100", "--overwrite", source, target], INSTALL, TIMEOUT)
            return target.read_bytes()
        except (subprocess.SubprocessError, OSError) as error:
            raise SmapcompError(f"{PROGRAM} fails: {error}") from error


def decode_flif(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes a file to uint8 of the given shape [h, w, 1 or 3].

    Raises:
      MissingCoderError: if the program is not on PATH.
      PayloadError: if the bytes are no FLIF file of one 8-bit picture of that shape.
    """
    found = _read_header(payload)
    if found != shape:
        raise PayloadError(f"FLIF picture of shape {found}, must be {shape}")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.flif"), Path(folder, "out.png")
        source.write_bytes(payload)
        try:
            run_program(PROGRAM, ["-d", "--overwrite", source, target], INSTALL, TIMEOUT)
            with Image.open(target, formats=["PNG"]) as picture:
                image = np.asarray(picture.convert("L" if shape[2] == 1 else "RGB"))
        except MissingCoderError:
            raise
        except (subprocess.SubprocessError, OSError, SyntaxError, ValueError) as error:
            raise PayloadError(f"FLIF picture does not decode: {error}") from error
    if image.size != np.prod(shape):
        raise PayloadError(f"FLIF picture of shape {image.shape}, must be {shape}")
    return image.reshape(shape)


def _read_header(payload: bytes) -> tuple[int, int, int]:
    """Returns [height, width, channels] of a still 8-bit picture."""
    if len(payload) < 6 or payload[:4] != b"FLIF":
        raise PayloadError(f"FLIF file starts with {payload[:4].hex()}, must be {b'FLIF'.hex()}")
    if payload[4] not in _FORMATS or payload[5] != _EIGHT_BITS:
        raise PayloadError(f"FLIF format bytes {payload[4:6].hex()}; must be a still 8-bit picture")
    width, position = _varint(payload, 6)
    height, _ = _varint(payload, position)
    return height + 1, width + 1, _FORMATS[payload[4]]


def _varint(payload: bytes, position: int) -> tuple[int, int]:
    """Big-endian groups of seven bits; returns the value and the position after it."""
    value = 0
    for index, byte in enumerate(payload[position : position + 4]):
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + index + 1
    raise PayloadError("FLIF size takes more than 4 bytes or is cut off")
