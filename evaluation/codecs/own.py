"""This project's codec with any options."""

from importlib import metadata
from typing import Any

import numpy as np

import smapcomp
from evaluation.codecs.base import Codec
from smapcomp import metrics, zoo
from smapcomp.codec import api
from smapcomp.codec.options import CompressOptions, Option, option_table
from smapcomp.design import weights_digest
from smapcomp.errors import SmapcompError
from smapcomp.predictors.engines import choose_engine

OPTIONS: dict[str, Option] = {
    name: option
    for name, (option, _) in option_table(CompressOptions).items()
    if name not in ("quality", "max_pixels") and not name.startswith("target_")
}
"""Options that may follow the codec's name. The quality is not among them: the qualities to measure
say it."""

_LADDER = (10, 20, 30, 40, 50, 60, 70, 80)


class Smapcomp(Codec):
    """`smapcomp.compress` with options.

    Args:
        options: Names in `OPTIONS` to values, as they stand behind the codec's name.

    Raises:
        SmapcompError: An option or its value is not allowed.
    """

    extension = ".smc"
    qualities = _LADDER
    quality_range = (0, 100)

    def __init__(self, options: dict[str, str]) -> None:
        named = ",".join(f"{key}={options[key]}" for key in OPTIONS if key in options)
        self.name = "smapcomp" + (f":{named}" if named else "")
        self.display_name = f"smapcomp ({named.replace(',', ', ')})" if named else "smapcomp"
        self._options = {key: parse_option(key, value) for key, value in options.items()}
        self._checked = CompressOptions(**self._options)
        self.settings = named or f"mode={CompressOptions.mode} variant={CompressOptions.variant}"

    def version(self) -> str:
        """Return the package's version, a digest of the networks, and the engine that runs them."""
        return own_version(self._checked)

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        return self._encode(samples, quality=int(quality))

    def encode_to_rate(self, samples: np.ndarray, target_bpp: float) -> tuple[bytes, float | None]:
        """Encode to a rate more closely than whole qualities allow."""
        if self._checked.lossless:
            raise SmapcompError(f"{self.name} is lossless and cannot be coded to a rate")
        try:
            data = self._encode(samples, target_bpp=target_bpp)
        except SmapcompError:  # No quality has that rate; take the nearest one.
            return super().encode_to_rate(samples, target_bpp)
        return data, None

    def decode(self, data: bytes) -> np.ndarray:
        return smapcomp.decompress(data, **self._decoding())

    def details(self, samples: np.ndarray, data: bytes) -> dict[str, float]:
        """Return bits per pixel of the layers, and the PSNR of each step of the decoder in dB.

        The small layers (strengths, rounding) count as header.
        """
        height, width, _ = samples.shape
        facts = smapcomp.info(data)
        layers = {layer["kind"]: layer["bpp"] for layer in facts["layers"]}
        stages = api.decode_stages(data, **self._decoding())
        parts = {kind: layers.get(kind, 0.0) for kind in ("compact", "labels", "residual")}
        total = metrics.bits_per_pixel(len(data), width, height)
        return {
            **{f"{kind}_bpp": bpp for kind, bpp in parts.items()},
            "header_bpp": total - sum(parts.values()),
            "prediction_psnr": metrics.psnr(samples, stages.prediction),
            "upsampled_psnr": metrics.psnr(samples, stages.compact),
        }

    def _encode(self, samples: np.ndarray, **goal: Any) -> bytes:
        return smapcomp.compress(samples, **goal, **self._options)

    def _decoding(self) -> dict[str, Any]:
        """Return the options of decoding."""
        return {"weights_dir": self._checked.weights_dir, "engine": self._checked.engine}


def own_version(options: CompressOptions) -> str:
    """Describe package, networks and engine, so that two descriptions differ if results may.

    Args:
        options: Variant, folder of weights and engine are taken from them.
    """
    digest = networks_digest(options.variant, options.weights_dir)
    runner = choose_engine(options.variant, options.weights_dir, options.engine)
    package = f"{runner} {metadata.version(runner)}"
    return f"smapcomp {smapcomp.__version__}, weights {digest}, {package}"


def networks_digest(variant: str, weights_dir: str | None) -> str:
    """Return 12 hexadecimal digits of every network of a variant that the decoder uses."""
    networks = zoo.cached_networks(variant, weights_dir)
    digests = {role: np.frombuffer(networks.digest(role), np.uint8) for role in networks.finenets}
    return weights_digest(digests).hex()[:12]


def parse_option(name: str, text: str) -> str | int | bool:
    """Convert the text of an option to its type.

    Args:
        name: Name of the option, a key of `OPTIONS`.
        text: Its value as it stands behind the codec's name.

    Raises:
        SmapcompError: There is no such option, or the text is not of its type.
    """
    if name not in OPTIONS:
        raise SmapcompError(f"option {name!r} is unknown; allowed: {', '.join(OPTIONS)}")
    kind = OPTIONS[name].kind
    if kind is bool:
        if text not in ("true", "false"):
            raise SmapcompError(f"{name} {text!r} is not allowed; it is true or false")
        return text == "true"
    if kind is int:
        if not text.isdigit():
            raise SmapcompError(f"{name} {text!r} is not a whole number")
        return int(text)
    return text
