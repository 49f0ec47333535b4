"""This project's codec, in every mode, variant and operating point."""

from importlib import metadata
from typing import Any

import numpy as np

import smapcomp
from experiments.evaluation.codecs.base import Codec
from smapcomp import metrics, zoo
from smapcomp.codec import codec
from smapcomp.codec.engines import AUTO, check_engine, engines_of
from smapcomp.codec.settings import DEFAULT_MODE, DEFAULT_VARIANT
from smapcomp.codec.stream import weights_digest
from smapcomp.errors import SmapcompError

_TEXT = ("mode", "variant", "weights_dir", "compact_coder", "residual_coder", "engine")
_WHOLE = ("compact_scale", "compact_quality", "residual_quality", "speed")
_TRUTH = ("lossless", "robust")
OPTIONS = (*_TEXT, *_WHOLE, *_TRUTH)
_LADDER = (10, 20, 30, 40, 50, 60, 70, 80)


class Smapcomp(Codec):
    """`smapcomp.compress` with options: those of `OPTIONS`, as it takes them."""

    extension = ".smc"
    qualities = _LADDER
    quality_range = (0, 100)

    def __init__(self, options: dict[str, str]) -> None:
        """Args: options, as they stand behind the codec's name.

        Raises:
            SmapcompError: An option or its value is not allowed.
        """
        named = ",".join(f"{key}={options[key]}" for key in OPTIONS if key in options)
        self.name = "smapcomp" + (f":{named}" if named else "")
        self.label = f"smapcomp ({named.replace(',', ', ')})" if named else "smapcomp"
        self._options = {key: option(key, value) for key, value in options.items()}
        self._weights_dir = self._options.pop("weights_dir", None)
        self._variant = self._options.pop("variant", DEFAULT_VARIANT)
        self._engine = self._options.pop("engine", AUTO)
        check_engine(self._engine)
        self.settings = named or f"mode={DEFAULT_MODE} variant={DEFAULT_VARIANT}"
        codec.check_options(**self._options)

    def version(self) -> str:
        """Of the package, and the digest of every network that decodes and what runs it."""
        return own_version(self._variant, self._weights_dir, self._engine)

    def encode(self, samples: np.ndarray, quality: float) -> bytes:
        return self._encode(samples, quality=int(quality))

    def encode_at(self, samples: np.ndarray, target_bpp: float) -> tuple[bytes, float | None]:
        """As `Codec.encode_at`; meets the rate more closely than whole qualities do."""
        if self._options.get("lossless"):
            raise SmapcompError(f"{self.name} has one size; no rate can be asked of it")
        try:
            data = self._encode(samples, target_bpp=target_bpp)
        except SmapcompError:  # out of reach: the nearest quality
            return super().encode_at(samples, target_bpp)
        return data, None

    def decode(self, data: bytes) -> np.ndarray:
        return smapcomp.decompress(data, weights_dir=self._weights_dir, engine=self._engine)

    def details(self, samples: np.ndarray, data: bytes) -> dict[str, float]:
        """Bits per pixel of the layers, and the PSNR of what the decoder goes through."""
        height, width, _ = samples.shape
        facts = smapcomp.info(data)
        layers = {layer["kind"]: layer["bpp"] for layer in facts["layers"]}
        stages = codec.decode_stages(data, weights_dir=self._weights_dir)
        return {
            "compact_bpp": layers["compact"],
            "labels_bpp": layers.get("labels", 0.0),
            "residual_bpp": layers.get("residual", 0.0),
            "header_bpp": metrics.bits_per_pixel(facts["header_bytes"], width, height),
            "prediction_psnr": metrics.psnr(samples, stages.prediction),
            "upsampled_psnr": metrics.psnr(samples, stages.compact),
        }

    def _encode(self, samples: np.ndarray, **quality: Any) -> bytes:
        return smapcomp.compress(
            samples,
            variant=self._variant,
            weights_dir=self._weights_dir,
            engine=self._engine,
            **quality,
            **self._options,
        )


def own_version(variant: str, weights_dir: str | None, engine: str = AUTO) -> str:
    """The package, the networks and what runs them; one of two differs wherever results may."""
    digest = networks_digest(variant, weights_dir)
    runner = engines_of(variant, weights_dir, engine)[0]
    package = f"{runner} {metadata.version(runner)}"
    return f"smapcomp {smapcomp.__version__}, weights {digest}, {package}"


def networks_digest(variant: str, weights_dir: str | None) -> str:
    """12 hexadecimal digits of every network of a variant that decodes."""
    networks = zoo.load(variant, weights_dir)
    found = [role for role in zoo.FINENETS if (networks.folder / f"{role}.npz").is_file()]
    digests = {role: np.frombuffer(networks.digest(role), np.uint8) for role in found}
    return weights_digest(digests).hex()[:12]


def option(key: str, text: str) -> str | int | bool:
    """The value of an option.

    Raises:
        SmapcompError: There is no such option, or its value is of another kind.
    """
    if key in _TEXT:
        return text
    if key in _WHOLE:
        if not text.isdigit():
            raise SmapcompError(f"{key}={text!r}: is no whole number")
        return int(text)
    if key in _TRUTH:
        if text not in ("true", "false"):
            raise SmapcompError(f"{key}={text!r}: is neither true nor false")
        return text == "true"
    raise SmapcompError(f"option {key!r} is unknown; allowed: {', '.join(OPTIONS)}")
