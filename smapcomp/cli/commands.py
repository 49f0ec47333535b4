"""What a sub-command is, and flags that several share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from absl import flags

from smapcomp.codec.engines import AUTO, ENGINES
from smapcomp.codec.stream import DEFAULT_MAX_PIXELS

# More than any coder needs for noise at the highest quality; decided here, so that an endless
# input ends.
MAX_STREAM_BYTES_PER_PIXEL = 8
MAX_STREAM_BYTES_EXTRA = 1 << 20


@dataclass(frozen=True)
class Command:
    """A sub-command.

    Attributes:
        usages: What follows its name, one line for each way to call it.
        summary: What it does, for a newcomer.
        examples: Whole command lines.
        define_flags: Defines its flags, by `Flags`.
        run: Does its work with the flags' values and the positional arguments; returns the exit
            status.
        arguments: Lowest and highest number of positional arguments.
    """

    usages: tuple[str, ...]
    summary: str
    examples: tuple[str, ...]
    define_flags: Callable[["Flags"], None]
    run: Callable[[flags.FlagValues, Sequence[str]], int]
    arguments: tuple[int, int]


class UsageError(Exception):
    """The command line itself is wrong; the message is one line."""


class Flags:
    """Defines flags in groups, which the help shows one after the other.

    Attributes:
        values: Where the flags are defined.
        groups: Title to the names of its flags.
    """

    def __init__(self, values: flags.FlagValues):
        self.values = values
        self.groups: dict[str, list[str]] = {}

    def group(self, title: str) -> None:
        """What is defined from now on belongs to this group."""
        self.groups[title] = []

    def boolean(self, name: str, text: str) -> None:
        """A switch that is off by default."""
        self._note(name)
        flags.DEFINE_boolean(name, False, text, flag_values=self.values)

    def integer(self, name: str, default: int | None, text: str, low=None, high=None) -> None:
        """A whole number from `low` to `high`."""
        self._note(name)
        flags.DEFINE_integer(name, default, text, low, high, flag_values=self.values)

    def number(self, name: str, text: str, low: float = 0) -> None:
        """A number above `low`, not given by default."""
        self._note(name)
        flags.DEFINE_float(name, None, text, low, flag_values=self.values)

    def string(self, name: str, text: str) -> None:
        """A text, not given by default."""
        self._note(name)
        flags.DEFINE_string(name, None, text, flag_values=self.values)

    def choice(self, name: str, default: str | None, allowed: Sequence[str], text: str) -> None:
        """One of several words."""
        self._note(name)
        flags.DEFINE_enum(name, default, list(allowed), text, flag_values=self.values)

    def _note(self, name: str) -> None:
        list(self.groups.values())[-1].append(name)


def define_limits(define: Flags) -> None:
    """Flags that compressing and decompressing share."""
    define.string(
        "weights_dir", "folder of the networks' weights; by default those in the package."
    )
    define.integer(
        "max_pixels", DEFAULT_MAX_PIXELS, "largest picture to accept, width times height.", 1
    )
    define.choice(
        "engine",
        AUTO,
        ENGINES,
        "what runs the networks; auto: ONNX Runtime, and TensorFlow for what only that decodes.",
    )


def define_json(define: Flags) -> None:
    """The flag of commands that tell something."""
    define.group("Output")
    define.boolean("json", "print JSON.")
