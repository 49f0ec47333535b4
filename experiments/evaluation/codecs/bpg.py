"""BPG by the programs of libbpg, where they are installed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.evaluation.codecs.base import Codec
from smapcomp.codec.coders.bpg import DECODE_SECONDS, DECODER, ENCODE_SECONDS, ENCODER, INSTALL
from smapcomp.codec.coders.program import run_program
from smapcomp.errors import MissingCoderError, SmapcompError


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


def _run(program: str, arguments: list, seconds: int) -> None:
    try:
        run_program(program, arguments, INSTALL, seconds)
    except (subprocess.SubprocessError, OSError) as error:
        raise SmapcompError(f"{program} fails: {error}") from error
