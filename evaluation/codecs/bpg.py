"""BPG by the programs of libbpg, where they are installed."""

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
ENCODE_SECONDS, DECODE_SECONDS = 900, 60
"""Time limits of one call. A 2048×2048 picture takes bpgenc a minute or two at its default level."""


class Bpg(Codec):
    """`bpgenc -q Q` with its default encoder; quality is the quantiser, of which less is better."""

    extension = ".bpg"
    qualities = (47, 42, 37, 32, 27, 22)
    quality_range = (51, 0)

    def __init__(self, colours: str) -> None:
        """Args: colours, "420" or "444" (YCbCr), or "rgb": the papers' anchor."""
        self.name = f"bpg-{colours}"
        self.label = "BPG " + ("RGB" if colours == "rgb" else ":".join(colours))
        self._arguments = ["-f", "444", "-c", "rgb"] if colours == "rgb" else ["-f", colours]
        self.settings = " ".join(self._arguments)

    def version(self) -> str:
        path = shutil.which(ENCODER)
        if path is None:
            raise MissingCoderError(f"program {ENCODER!r} is not on PATH; {INSTALL}")
        # Its usage, which begins with name and version, comes with an exit status of 1.
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
        raise SmapcompError(f"{program} fails: {error}") from error
