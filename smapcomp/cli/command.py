"""Sub-commands and their flags."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from absl import flags

from smapcomp.codec.options import (
    CODEC,
    CONTENT,
    DAMAGED,
    GOAL,
    NETWORKS,
    Option,
    option_table,
)

OUTPUT, SERVER = "Output", "Networks on a server"
"""Groups of the flags that only the command line has."""

_GROUP_ORDER = (GOAL, OUTPUT, CONTENT, DAMAGED, CODEC, NETWORKS, SERVER)


@dataclass(frozen=True)
class Command:
    """A sub-command.

    Attributes:
        usages: Positional arguments, one line for each way to call the sub-command.
        summary: Description of the sub-command, one sentence.
        examples: Whole command lines.
        define_flags: Defines the flags through a `Flags`.
        run: Does the work, given the values of the flags and the positional arguments; returns the
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
    """Error in the command line itself; the message is one line."""


class Flags:
    """Definer of flags in groups; the help shows each group under its title.

    Args:
        values: Object in which the flags are defined.

    Attributes:
        values: Object in which the flags are defined.
        placeholders: Word that stands for the value of each text flag in the help.
    """

    def __init__(self, values: flags.FlagValues):
        self.values = values
        self.placeholders: dict[str, str] = {}
        self._groups: dict[str, list[str]] = {}

    @property
    def groups(self) -> dict[str, list[str]]:
        """Names of the flags by the title of their group, in the order of the help."""
        return {title: self._groups[title] for title in _GROUP_ORDER if title in self._groups}

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
        """Define a whole number in `low`..`high`; a limit of `None` does not apply."""
        self.define(group, name, default, Option(int, text, group, low=low, high=high))

    def number(self, group: str, name: str, text: str, low: float = 0) -> None:
        """Define a number of at least `low` whose default is `None`."""
        self.define(group, name, None, Option(float, text, group, low=low))

    def string(self, group: str, name: str, text: str, placeholder: str) -> None:
        """Define a text whose default is `None`; the help shows the placeholder as its value."""
        self.placeholders[name] = placeholder
        self.define(group, name, None, Option(str, text, group))

    def choice(
        self, group: str, name: str, default: str | None, allowed: Sequence[str], text: str
    ) -> None:
        """Define a choice among words."""
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
            group: Title of the flag's group.
            name: Name of the flag.
            default: Value of the flag if the command line does not have it.
            option: Type, limits and description.

        Raises:
            ValueError: The group is unknown.
        """
        if group not in _GROUP_ORDER:
            raise ValueError(f"group {group!r} is unknown; allowed: {', '.join(_GROUP_ORDER)}")
        self._groups.setdefault(group, []).append(name)
        where: dict[str, Any] = {"flag_values": self.values}
        if option.choices:
            words = [str(choice) for choice in option.choices]
            word = None if default is None else str(default)
            flags.DEFINE_enum(name, word, words, option.help, **where)
        elif option.kind is bool:
            flags.DEFINE_boolean(name, default, option.help, **where)
        elif option.kind is str:
            flags.DEFINE_string(name, default, option.help, **where)
        else:
            define: Any = flags.DEFINE_integer if option.kind is int else flags.DEFINE_float
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
    """Define the flag `--json`."""
    define.boolean(OUTPUT, "json", "print JSON.")
