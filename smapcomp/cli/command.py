"""Description of a sub-command, and its flags."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from absl import flags

from smapcomp.codec.options import Option, option_table


@dataclass(frozen=True)
class Command:
    """A sub-command.

    Attributes:
        usages: Arguments behind its name, one line for each way to call it.
        summary: What it does, in a sentence.
        examples: Whole command lines.
        define_flags: Defines its flags, by `Flags`.
        run: Does its work, given the values of the flags and the positional arguments; returns the
            exit status.
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
    """Defines flags in groups, under whose titles the help shows them.

    Args:
        values: Where the flags are defined.

    Attributes:
        values: Where the flags are defined.
        groups: Title of each group to the names of its flags.
    """

    def __init__(self, values: flags.FlagValues):
        self.values = values
        self.groups: dict[str, list[str]] = {}

    def boolean(self, group: str, name: str, text: str) -> None:
        """Define a switch that is off by default."""
        self.define(group, name, False, Option(bool, text, group))

    def integer(
        self,
        group: str,
        name: str,
        default: int | None,
        text: str,
        low: int | None = None,
        high: int | None = None,
    ) -> None:
        """Define a whole number from `low` to `high`."""
        self.define(group, name, default, Option(int, text, group, low=low, high=high))

    def number(self, group: str, name: str, text: str, low: float = 0) -> None:
        """Define a number of at least `low` that is not given by default."""
        self.define(group, name, None, Option(float, text, group, low=low))

    def string(self, group: str, name: str, text: str) -> None:
        """Define a text that is not given by default."""
        self.define(group, name, None, Option(str, text, group))

    def choice(
        self, group: str, name: str, default: str | None, allowed: Sequence[str], text: str
    ) -> None:
        """Define a choice among several words."""
        self.define(group, name, default, Option(str, text, group, choices=tuple(allowed)))

    def options(self, options: type, leave_out: Collection[str] = ()) -> None:
        """Define a flag for every field of `CompressOptions` or `DecodeOptions`.

        Args:
            options: The dataclass.
            leave_out: Names of fields that get no flag.
        """
        for name, (option, default) in option_table(options).items():
            if name not in leave_out:
                self.define(option.group, name, default, option)

    def define(self, group: str, name: str, default: Any, option: Option) -> None:
        """Define one flag.

        Args:
            group: Title of the group that it belongs to.
            name: Name of the flag.
            default: Its value if it is not given.
            option: Its type, limits and description.
        """
        self.groups.setdefault(group, []).append(name)
        where = {"flag_values": self.values}
        if option.choices:
            words = [str(choice) for choice in option.choices]
            word = None if default is None else str(default)
            flags.DEFINE_enum(name, word, words, option.help, **where)
        elif option.kind is bool:
            flags.DEFINE_boolean(name, default, option.help, **where)
        elif option.kind is str:
            flags.DEFINE_string(name, default, option.help, **where)
        else:
            define = flags.DEFINE_integer if option.kind is int else flags.DEFINE_float
            low = option.low if option.low is not None else option.above
            define(name, default, option.help, low, option.high, **where)


def option_values(values: flags.FlagValues, options: type) -> dict[str, Any]:
    """Return the values of the flags that `Flags.options` defined, as keyword arguments.

    Args:
        values: The flags.
        options: `CompressOptions` or `DecodeOptions`.
    """
    found = {}
    for name, (option, _) in option_table(options).items():
        value = values[name].value
        found[name] = option.kind(value) if option.choices and value is not None else value
    return found


def define_json(define: Flags) -> None:
    """Define the flag of commands that print facts."""
    define.boolean("Output", "json", "print JSON.")
