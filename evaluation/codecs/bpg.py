"""BPG by the programs of libbpg."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.codecs.base import Codec
from smapcomp.errors import MissingCoderError, SmapcompError

ENCODER, DECODER = "bpgenc", "bpgdec"
INSTALL = "it is part of libbpg, https://bellard.org/bpg"
"""Where users get the programs."""
ENCODE_SECONDS, DECODE_SECONDS = 900, 60
"""Time limits of one call in seconds. bpgenc takes one to two minutes for a picture of 2048×2048
pixels at its default level."""


class Bpg(Codec):
    """BPG by `bpgenc -q Q`, with its default encoder.

    The quality is the quantiser: a smaller number means a better picture.

    Args:
        colours: "420" or "444" for YCbCr, or "rgb", which is the papers' anchor.
    """

    extension = ".bpg"
    qualities = (47, 42, 37, 32, 27, 22)
    quality_range = (51, 0)

    def __init__(self, colours: str) -> None:
        self.name = f"bpg-{colours}"
        self.display_name = "BPG " + ("RGB" if colours == "rgb" else ":".join(colours))
        self._arguments = ["-f", "444", "-c", "rgb"] if colours == "rgb" else ["-f", colours]
        self.settings = " ".join(self._arguments)

    def version(self) -> str:
        path = shutil.which(ENCODER)
        if path is None:
            raise MissingCoderError(f"program {ENCODER!r} is not on PATH; {INSTALL}")
        # The usage message begins with name and version; bpgenc then exits with status 1.
        result = subprocess.run([path, "-h"], capture_output=True, text=True, timeout=60)
        lines = (result.stdout + result.stderr).splitlines()
        return lines[0] if lines else "unknown"

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "in.png"), Path(folder, "out.bpg")
            Image.fromarray(samples).save(source, compress_level=1)
            arguments = ["-q", str(int(quality)), *self._arguments, "-o", target, source]
            _run(ENCODER, arguments, ENCODE_SECONDS)
            return target.read_bytes()

    def decode(self, data: bytes) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "in.bpg"), Path(folder, "out.png")
            source.write_bytes(data)
            _run(DECODER, ["-o", target, source], DECODE_SECONDS)
            return np.asarray(Image.open(target).convert("RGB"))


def _run(program: str, arguments: list[str | Path], seconds: float) -> None:
    path = shutil.which(program)
    if path is None:
        raise MissingCoderError(f"program {program!r} is not on PATH; {INSTALL}")
    try:
        subprocess.run(
            [path, *map(str, arguments)], check=True, capture_output=True, timeout=seconds
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise SmapcompError(f"{program} failed: {error}") from error
