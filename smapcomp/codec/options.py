"""Options of compression and decompression: the only list of them.

The API, the command line, the bulk job, the Pillow plugin and the evaluation derive their
arguments, flags, help texts and checks from the two dataclasses of this module. To add an option,
add a field.
"""

import dataclasses
import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from smapcomp.codec.bitstream.stream import (
    CODERS,
    LOSSY_COMPACT_CODERS,
    LOSSY_RESIDUAL_CODERS,
)
from smapcomp.codec.coders.av1 import DEFAULT_SPEED
from smapcomp.design import DEFAULT_MAX_PIXELS, MODES, SCALES
from smapcomp.errors import SmapcompError
from smapcomp.predictors.engines import AUTO, ENGINES
from smapcomp.zoo import VARIANTS

STAGES = ("compact", "prediction", "full")
"""How far a stream can be decoded."""

GOAL, CONTENT, CODEC = "Quality or size: one of these", "Content", "Codec, for experts"
NETWORKS, DAMAGED = "Networks and limits", "Damaged and foreign streams"


@dataclass(frozen=True)
class Option:
    """What is known of an option besides its name and its default.

    Attributes:
        kind: Type of the value: `int`, `float`, `bool` or `str`.
        help: Description, a sentence or more.
        group: Heading under which the help of the command line shows it.
        choices: Allowed values; empty if `low` and `high` say what is allowed.
        low: Lowest allowed number.
        high: Highest allowed number.
        above: Number that the value must exceed.
        below: Number that the value must stay below.
    """

    kind: type
    help: str
    group: str
    choices: tuple = ()
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None

    def check(self, name: str, value: Any) -> None:
        """Check a value that is not `None`.

        Raises:
            SmapcompError: The value is not allowed.
        """
        if self.choices:
            if value not in self.choices or isinstance(value, bool):
                words = ", ".join(map(str, self.choices))
                raise SmapcompError(f"{name} {value!r} is unknown; allowed: {words}")
        elif not self._has_right_type(value) or not self._is_in_range(value):
            raise SmapcompError(f"{name} {value!r} is not allowed; it is {self._expected()}")

    def _has_right_type(self, value: Any) -> bool:
        if self.kind is bool:
            return isinstance(value, (bool, np.bool_))
        types = {int: numbers.Integral, float: numbers.Real}
        return isinstance(value, types.get(self.kind, self.kind)) and not isinstance(value, bool)

    def _is_in_range(self, value: Any) -> bool:
        if self.kind not in (int, float):
            return True
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and not math.isnan(value)
        )

    def _expected(self) -> str:
        if self.kind is bool:
            return "True or False"
        if self.kind is str:
            return "a text"
        noun = "a whole number" if self.kind is int else "a number"
        if self.high is not None:
            return f"{noun}, {self.low}..{self.high}"
        if self.below is not None:
            return f"{noun} between {self.above:g} and {self.below:g}"
        if self.low is not None:
            return f"{noun} from {self.low} up"
        return f"{noun} above {self.above:g}" if self.above is not None else noun


# Options of both compression and decompression.
_WEIGHTS_DIR: dict[str, Any] = {
    "kind": str,
    "help": "folder of the networks' weights; by default those in the package.",
    "group": NETWORKS,
}
_MAX_PIXELS: dict[str, Any] = {
    "kind": int,
    "help": "largest picture to accept, width times height.",
    "group": NETWORKS,
    "low": 1,
}
_ENGINE: dict[str, Any] = {
    "kind": str,
    "help": "runs the networks; auto: ONNX Runtime, and TensorFlow for what only that decodes.",
    "group": NETWORKS,
    "choices": ENGINES,
}


def _option(default: Any, kind: type, help: str, group: str, **limits: Any) -> Any:
    return dataclasses.field(
        default=default, metadata={"option": Option(kind, help, group, **limits)}
    )


def option_table(options: type) -> dict[str, tuple[Option, Any]]:
    """Return name, description and default of every option of one of the dataclasses below."""
    return {f.name: (f.metadata["option"], f.default) for f in dataclasses.fields(options)}


def _check_all(options: Any) -> None:
    for name, (option, default) in option_table(type(options)).items():
        value = getattr(options, name)
        if value is None and default is None:
            continue
        option.check(name, value)
        if isinstance(value, (numbers.Number, np.bool_)) and not isinstance(value, bool):
            # NumPy's values become Python's.
            object.__setattr__(options, name, option.kind(value))


@dataclass(frozen=True)
class Target:
    """Size or distortion that a stream is to have.

    Attributes:
        kind: "bytes", "bpp", "psnr" or "ms_ssim".
        value: Bytes, bits per pixel, dB, or 0..1.
    """

    kind: str
    value: float

    @property
    def is_rate(self) -> bool:
        """Whether the target is a size."""
        return self.kind in ("bytes", "bpp")


@dataclass(frozen=True)
class CompressOptions:
    """Options of `smapcomp.compress`, checked when they are made.

    Raises:
        SmapcompError: A value is not allowed, or two options contradict each other.

    Example:
        >>> CompressOptions(target_bpp=0.5).target
        Target(kind='bpp', value=0.5)
        >>> CompressOptions(quality=101)
        Traceback (most recent call last):
        ...
        smapcomp.errors.SmapcompError: quality 101 is not allowed; it is a whole number, 0..100
    """

    quality: int = _option(60, int, "0..100: higher is better and larger.", GOAL, low=0, high=100)
    target_bytes: int | None = _option(
        None, int, "at most so many bytes, and no less than 2 % below.", GOAL, low=1
    )
    target_bpp: float | None = _option(
        None, float, "bits per pixel: at most so many, and no less than 2 % below.", GOAL, above=0
    )
    target_psnr: float | None = _option(
        None, float, "at least so many dB over RGB, and no more than 0.1 above.", GOAL, above=0
    )
    target_ms_ssim: float | None = _option(
        None,
        float,
        "at least that MS-SSIM, 0..1, and no more than 0.001 above.",
        GOAL,
        above=0,
        below=1,
    )
    lossless: bool = _option(False, bool, "restore every sample exactly.", GOAL)
    mode: str = _option(
        "mapped",
        str,
        "source of the decoder's label map: none, no label map; sent, the stream; matched, the "
        "segmentation of the compact picture; mapped, the same, repaired by SMapNet.",
        CODEC,
        choices=MODES,
    )
    compact_coder: str | None = _option(
        None,
        str,
        "coder of the compact picture: av1, or jxl, which is lossless. jxl is the papers' design: "
        "compact scale 8, and the quality is the residual's. By default the quality's operating "
        "point decides.",
        CODEC,
        choices=CODERS["compact"],
    )
    compact_scale: int | None = _option(
        None,
        int,
        "how many times smaller the sides of the compact picture are. By default the quality's "
        "operating point decides.",
        CODEC,
        choices=SCALES,
    )
    compact_quality: int | None = _option(
        None, int, "quality of a lossy compact picture, 0..100.", CODEC, low=0, high=100
    )
    residual_coder: str | None = _option(
        None,
        str,
        "coder of the residual; heic needs the package pillow-heif, for decoding too.",
        CODEC,
        choices=(*LOSSY_RESIDUAL_CODERS, "none"),
    )
    residual_quality: int | None = _option(
        None, int, "quality of the residual, 0..100; 0: no residual.", CODEC, low=0, high=100
    )
    speed: int = _option(
        DEFAULT_SPEED,
        int,
        "speed of AV1: 0, slow and small, to 10, fast and large.",
        CODEC,
        low=0,
        high=10,
    )
    variant: str = _option("lite", str, "set of networks.", CODEC, choices=tuple(VARIANTS))
    weights_dir: str | None = _option(None, **_WEIGHTS_DIR)
    max_pixels: int = _option(DEFAULT_MAX_PIXELS, **_MAX_PIXELS)
    engine: str = _option(AUTO, **_ENGINE)

    def __post_init__(self) -> None:
        _check_all(self)
        targets = [name for name in _TARGETS if getattr(self, name) is not None]
        if len(targets) > 1:
            raise SmapcompError(f"{', '.join(targets)} together; at most one target is allowed")
        if targets and self.lossless:
            raise SmapcompError(f"{targets[0]} with lossless, which has one size; leave one out")
        if self.compact_quality is not None and self.compact_coder not in (
            None,
            *LOSSY_COMPACT_CODERS,
        ):
            raise SmapcompError(
                f"compact_quality {self.compact_quality} with the lossless compact coder "
                f"{self.compact_coder!r}; lossy ones are {', '.join(LOSSY_COMPACT_CODERS)}"
            )
        if self.lossless and self.residual_coder is not None:
            raise SmapcompError(
                f"residual_coder {self.residual_coder!r} with lossless; a lossless residual has "
                "its own"
            )

    @property
    def target(self) -> Target | None:
        """The size or distortion that is asked for, or `None`."""
        for name in _TARGETS:
            value = getattr(self, name)
            if value is not None:
                return Target(name.removeprefix("target_"), value)
        return None


_TARGETS = tuple(
    field.name for field in dataclasses.fields(CompressOptions) if field.name.startswith("target_")
)


@dataclass(frozen=True)
class DecodeOptions:
    """Options of `smapcomp.decode` and `smapcomp.decompress`, checked when they are made.

    Raises:
        SmapcompError: A value is not allowed.
    """

    stage: str = _option(
        "full",
        str,
        "how far to decode: compact, the compact picture up-sampled; prediction, the networks' "
        "picture; full, with the residual.",
        CONTENT,
        choices=STAGES,
    )
    allow_partial: bool = _option(
        False, bool, "decode a file that was cut off as far as possible.", DAMAGED
    )
    max_seconds: float | None = _option(
        None, float, "give up a file that takes longer.", DAMAGED, above=0
    )
    weights_dir: str | None = _option(None, **_WEIGHTS_DIR)
    max_pixels: int = _option(DEFAULT_MAX_PIXELS, **_MAX_PIXELS)
    engine: str = _option(AUTO, **_ENGINE)

    def __post_init__(self) -> None:
        _check_all(self)


def local_network_options(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of options that choose the networks of this process.

    They contradict a predictor or a server, which has networks of its own.

    Args:
        options: Values by the names of fields of `CompressOptions` or `DecodeOptions`.

    Example:
        >>> local_network_options({"quality": 30, "weights_dir": "weights", "engine": "auto"})
        ('weights_dir',)
    """
    defaults = {"weights_dir": DecodeOptions.weights_dir, "engine": DecodeOptions.engine}
    return tuple(name for name, value in defaults.items() if options.get(name, value) != value)


def takes_options(options: type) -> Callable[[Callable], Callable]:
    """Decorate a function that passes its `**options` to `make_options`.

    `help` and `inspect.signature` then show every option, its default and its description.

    Args:
        options: `CompressOptions` or `DecodeOptions`.
    """
    fields = dataclasses.fields(options)

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type
            )
            for f in fields
        ]
        positional = [p for p in own if p.kind is not p.KEYWORD_ONLY]
        keywords = [p for p in own if p.kind is p.KEYWORD_ONLY]
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*positional, *added, *keywords]
        )
        described = "\n".join(f"    {f.name}: {f.metadata['option'].help}" for f in fields)
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\nOptions:\n{described}\n"
        return function

    return decorate


def make_options(options: type, values: Mapping[str, Any]) -> Any:
    """Make one of the dataclasses from keyword arguments.

    Raises:
        TypeError: A name is not an option.
        SmapcompError: A value is not allowed.
    """
    known = option_table(options)
    for name in values:
        if name not in known:
            raise TypeError(f"unknown option {name!r}; known: {', '.join(known)}")
    return options(**values)
