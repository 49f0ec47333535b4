"""The codec as the papers describe it: a lossless compact image and an 8-bit 4:2:0 residual.

The difference between picture and prediction is stretched linearly from its range to 0..255 and
coded as a picture in YCbCr 4:2:0 (docs/spec.md, section 4). The papers code it with BPG, which is
HEVC. Here x265 codes it through HEIC; with the option `residual=bpg`, BPG itself does.

The file consists of a stream without a residual, the two ends of the range, and the residual's
file, so that all that a decoder needs is counted. The papers do not count the two ends.
"""

import struct

import numpy as np

import smapcomp
from evaluation.codecs.base import Codec
from evaluation.codecs.bpg import Bpg
from evaluation.codecs.heic import Heic
from evaluation.codecs.own import own_version
from smapcomp import metrics
from smapcomp.codec.options import CompressOptions
from smapcomp.errors import SmapcompError

MODES = {"edms-design": "mapped", "dsslic-design": "sent"}
"""Codec's name to its mode, which is the source of the label map."""
OPTIONS = ("variant", "weights_dir", "residual")
# Four of the papers' eight quantisers; their files have up to 3 bits per pixel.
_PAPERS_Q = (32, 27, 23, 14)
_HEADER = struct.Struct(">Ihh")


class PublishedDesign(Codec):
    """The design of EDMS (mode `mapped`) or DSSLIC (mode `sent`), with this project's networks.

    Args:
        name: A key of `MODES`.
        options: Values of the options in `OPTIONS`.

    Raises:
        SmapcompError: An option or its value is not allowed.
    """

    extension = ".edms"

    def __init__(self, name: str, options: dict[str, str]) -> None:
        for key in options:
            if key not in OPTIONS:
                raise SmapcompError(f"option {key!r} is unknown; allowed: {', '.join(OPTIONS)}")
        residual = options.get("residual", "heic")
        if residual not in ("heic", "bpg"):
            raise SmapcompError(f"residual {residual!r} is unknown; allowed: heic, bpg")
        self._residual: Codec = Heic("420") if residual == "heic" else Bpg("420")
        # HEIC's quality sets x265's rate factor, which is HEVC's quantiser for a single picture.
        heic = tuple(100 - 2 * q for q in _PAPERS_Q)
        self.qualities = heic if residual == "heic" else _PAPERS_Q
        self.quality_range = self._residual.quality_range
        named = ",".join(f"{key}={options[key]}" for key in OPTIONS if key in options)
        self.name = name + (f":{named}" if named else "")
        self.display_name = {"edms-design": "EDMS design", "dsslic-design": "DSSLIC design"}[name]
        self.display_name += f", our networks ({named})" if named else ", our networks"
        self.settings = f"mode={MODES[name]} compact_coder=jxl residual={self._residual.name}"
        self._weights_dir = options.get("weights_dir")
        self._options = {
            "mode": MODES[name],
            "variant": options.get("variant", CompressOptions.variant),
            "weights_dir": self._weights_dir,
            "compact_coder": "jxl",
            "residual_coder": "none",
        }

    def version(self) -> str:
        own = own_version(CompressOptions(**self._options))
        return f"{own}, {self._residual.version()}"

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        stream = smapcomp.compress(samples, **self._options)
        residual = samples.astype(np.int16) - self._prediction(stream)
        low, high = int(residual.min()), int(residual.max())
        stretched = np.round((residual - low) * (255 / max(high - low, 1))).astype(np.uint8)
        header = _HEADER.pack(len(stream), low, high)
        return header + stream + self._residual.encode(stretched, quality)

    def decode(self, data: bytes) -> np.ndarray:
        length, low, high = _HEADER.unpack_from(data)
        end = _HEADER.size + length
        stretched = self._residual.decode(data[end:])
        residual = low + stretched * ((high - low) / 255)
        picture = self._prediction(data[_HEADER.size : end]) + residual
        return np.clip(np.round(picture), 0, 255).astype(np.uint8)

    def details(self, samples: np.ndarray, data: bytes) -> dict[str, float]:
        height, width, _ = samples.shape
        length, _, _ = _HEADER.unpack_from(data)
        stream = data[_HEADER.size : _HEADER.size + length]
        facts = smapcomp.info(stream)
        layers = {layer["kind"]: layer["bpp"] for layer in facts["layers"]}
        residual = len(data) - _HEADER.size - length
        header = _HEADER.size + facts["header_bytes"]
        return {
            "compact_bpp": layers["compact"],
            "labels_bpp": layers.get("labels", 0.0),
            "residual_bpp": metrics.bits_per_pixel(residual, width, height),
            "header_bpp": metrics.bits_per_pixel(header, width, height),
            "prediction_psnr": metrics.psnr(samples, self._prediction(stream)),
        }

    def _prediction(self, stream: bytes) -> np.ndarray:
        return smapcomp.decompress(stream, weights_dir=self._weights_dir)
