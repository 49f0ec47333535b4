"""Rules that give each variable its learning rate; importing them loads no Keras."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from smapcomp.errors import SmapcompError

RulePairs = tuple[tuple[str, float | None], ...]


class RulesError(SmapcompError):
    """Rules are malformed, or do not give a variable exactly one learning rate."""


@dataclass(frozen=True)
class Rules:
    """Multipliers of the learning rate, by the names of variables.

    Attributes:
        pairs: Pairs of a regular expression and a multiplier of the learning rate, or `None` to
            freeze. A rule applies to the variables in whose names `re.search` finds the
            expression. Exactly one rule must apply to each variable.

    Raises:
        RulesError: `pairs` does not consist of such pairs.

    Example:
        >>> Rules((("^compnet/", None), ("^finenet/", 0.5))).multiplier("finenet/conv0/kernel")
        0.5
    """

    pairs: RulePairs = ((".*", 1.0),)

    def __post_init__(self):
        try:
            pairs = tuple((pattern, multiplier) for pattern, multiplier in self.pairs)
        except (TypeError, ValueError):
            raise RulesError(
                f"rules {self.pairs!r}; they are pairs (regular expression, multiplier or None)"
            ) from None
        for pattern, multiplier in pairs:
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                raise RulesError(f"rule {pattern!r} is no regular expression: {error}") from None
            number = isinstance(multiplier, (int, float)) and not isinstance(multiplier, bool)
            if multiplier is not None and not (number and 0 < multiplier < float("inf")):
                raise RulesError(
                    f"rule {pattern!r} has multiplier {multiplier!r}; "
                    "it must be a number above 0, or None for frozen"
                )
        object.__setattr__(self, "pairs", pairs)

    def match(self, name: str) -> int:
        """Return the index of the rule that applies to a variable.

        Raises:
            RulesError: No rule applies, or several do.
        """
        found = [i for i, (pattern, _) in enumerate(self.pairs) if re.search(pattern, name)]
        if len(found) != 1:
            patterns = ", ".join(repr(pattern) for pattern, _ in self.pairs)
            matching = ", ".join(repr(self.pairs[i][0]) for i in found)
            problem = f"{matching} all match" if found else f"none of {patterns} matches"
            raise RulesError(f"variable {name} needs exactly one rule; {problem}")
        return found[0]

    def multiplier(self, name: str) -> float | None:
        """Return a variable's multiplier, or `None` if it is frozen.

        Raises:
            RulesError: No rule applies to the variable, or several do.
        """
        return self.pairs[self.match(name)][1]


def require_used(rules: Rules, names: Iterable[str]) -> None:
    """Check that every rule applies to at least one variable.

    A rule that applies to none is most likely misspelt.

    Args:
        rules: The rules.
        names: Names of the trained variables.

    Raises:
        RulesError: A rule applies to none of them, or a variable does not have exactly one rule.
    """
    used = {rules.match(name) for name in names}
    for index, (pattern, _) in enumerate(rules.pairs):
        if index not in used:
            raise RulesError(f"rule {pattern!r} matches no variable that is trained")
