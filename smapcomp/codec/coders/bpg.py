"""BPG, the papers' coder of the residual, by the programs of libbpg where they are installed.

As in the papers (SPEC section 4): the programs' default settings, which are 8 bits and, of colours,
YCbCr 4:2:0. Field names are those of the BPG specification.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from smapcomp.codec.coders.program import run_program
from smapcomp.errors import MissingCoderError, PayloadError, SmapcompError

ENCODER, DECODER = "bpgenc", "bpgdec"
INSTALL = "it is part of libbpg, https://bellard.org/bpg"
MAX_Q = 51
# A block of 2048x2048 takes bpgenc a minute or two at its default, slow level.
ENCODE_SECONDS, DECODE_SECONDS = 900, 60

_MAGIC = b"BPG\xfb"
# pixel_format by the number of channels: grey; 4:2:0 (JPEG's and MPEG-2's chroma position), 4:4:4.
_PIXEL_FORMATS = {1: (0,), 3: (1, 3, 4)}


def quality_to_q(quality: int) -> int:
    """The quantiser 0..51 of a quality 0..100; the papers' 32..10 are 37..80."""
    return round(MAX_Q * (100 - quality) / 100)


def encode(samples: np.ndarray, quality: int, speed: int | None = None) -> bytes:
    """Codes uint8 [h, w, 1 or 3]; ignores the speed.

    Raises:
      MissingCoderError: if the program is not on PATH.
      SmapcompError: if it fails.
    """
    del speed
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.png"), Path(folder, "out.bpg")
        grey = samples.shape[2] == 1
        Image.fromarray(samples[..., 0] if grey else samples).save(source, compress_level=1)
        arguments = ["-q", str(quality_to_q(quality)), "-f", "420", "-o", target, source]
        try:
            run_program(ENCODER, arguments, INSTALL, ENCODE_SECONDS)
            return target.read_bytes()
        except (subprocess.SubprocessError, OSError) as error:
            raise SmapcompError(f"{ENCODER} fails: {error}") from error


def decode(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes a file to uint8 of the given shape [h, w, 1 or 3].

    Raises:
      MissingCoderError: if the program is not on PATH.
      PayloadError: if the bytes are no BPG file of one 8-bit picture of that shape.
    """
    _check_header(payload, shape)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.bpg"), Path(folder, "out.png")
        source.write_bytes(payload)
        try:
            run_program(DECODER, ["-o", target, source], INSTALL, DECODE_SECONDS)
            # Not by Image.open, whose own limit on pixels may be below the caller's.
            with PngImageFile(target) as picture:
                if picture.size != (shape[1], shape[0]):
                    raise ValueError(f"it comes out with {picture.width}x{picture.height} pixels")
                image = np.asarray(picture.convert("L" if shape[2] == 1 else "RGB"))
        except MissingCoderError:
            raise
        except (subprocess.SubprocessError, OSError, SyntaxError, ValueError) as error:
            raise PayloadError(f"BPG picture does not decode: {error}") from error
    return image.reshape(shape)


def _check_header(payload: bytes, shape: tuple[int, int, int]) -> None:
    """heic_file(), as BPG calls it, up to picture_height; its HEVC data have no other size."""
    if payload[:4] != _MAGIC:
        raise PayloadError(f"BPG file starts with {payload[:4].hex()}, must be {_MAGIC.hex()}")
    # Zeros stand for what is cut off; the program then refuses the file.
    first, second = payload[4:6].ljust(2, b"\0")
    pixel_format, alpha1, bit_depth = first >> 5, first >> 4 & 1, (first & 15) + 8
    alpha2, animation = second >> 2 & 1, second & 1
    if pixel_format not in _PIXEL_FORMATS[shape[2]]:
        allowed = _PIXEL_FORMATS[shape[2]]
        raise PayloadError(f"BPG pixel_format is {pixel_format}, must be of {allowed}")
    if (alpha1, alpha2, animation, bit_depth) != (0, 0, 0, 8):
        raise PayloadError(
            f"BPG alpha flags, animation_flag and bit depth are "
            f"{(alpha1, alpha2, animation, bit_depth)}, must be {(0, 0, 0, 8)}"
        )
    width, position = _ue7(payload, 6)
    height, _ = _ue7(payload, position)
    if (height, width) != shape[:2]:
        raise PayloadError(f"BPG picture of {width}x{height} pixels, must be {shape[1]}x{shape[0]}")


def _ue7(payload: bytes, position: int) -> tuple[int, int]:
    """Big-endian groups of seven bits; returns the value and the position after it."""
    value = 0
    for index, byte in enumerate(payload[position : position + 5]):
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + index + 1
    raise PayloadError("BPG size takes more than 5 bytes or is cut off")
