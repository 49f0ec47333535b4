"""Patterns of paths, such as `photos/**/*.jpg`."""

import re
from collections.abc import Callable

from smapcomp.errors import SmapcompError

_WILDCARD = re.compile(r"[*?[]")

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


class Pattern:
    r"""Pattern of paths.

    | Part | Meaning |
    |---|---|
    | `*` | any part of a name |
    | `?` | one character of a name |
    | `[a-c]`, `[!a-c]` | one character of a name that is, or is not, in the set |
    | `**/` | any folders or none |
    | `**` | any part of a path |

    All else stands for itself, a backslash too; `[[]`, `[*]` and `[?]` stand for a bracket, a star
    and a question mark.

    Args:
        pattern: The pattern. A slash at its end stands for all files in the folder.
        is_folder: Returns whether a path is that of an existing folder. Names of existing folders
            that have brackets, but no star and no question mark, are not taken as patterns.

    Attributes:
        root: Folder of the paths that match, with a slash at its end, or the empty string.
        depth: Levels of folders below the root that paths which match can have; `None` if any.

    Raises:
        SmapcompError: A set is malformed.

    Example:
        >>> Pattern("photos/**/*.jpg").matches("photos/2024/a.jpg")
        True
    """

    def __init__(self, pattern: str, is_folder: Callable[[str], bool] | None = None):
        if pattern.endswith("/"):
            pattern += "*"
        fixed = _fixed_length(pattern, is_folder)
        self.root = pattern[: pattern.rfind("/", 0, fixed) + 1]
        rest = pattern[len(self.root) :]
        self.depth = None if "**" in rest else rest.count("/")
        expression = "".join(map(_translate, _TOKEN.findall(rest)))
        try:
            self._expression = re.compile(re.escape(self.root) + expression, re.DOTALL)
        except re.error as error:
            raise SmapcompError(f"{pattern}: {error}") from error

    def matches(self, path: str) -> bool:
        """Return whether the pattern matches a path."""
        return self._expression.fullmatch(path) is not None


def folder_of(path: str) -> str:
    """Return the folder of a path, with its slash, or the empty string."""
    return path[: path.rfind("/") + 1]


def _fixed_length(pattern: str, is_folder: Callable[[str], bool] | None) -> int:
    """Return how many characters at the beginning of a pattern stand for themselves."""
    start = 0
    while match := _WILDCARD.search(pattern, start):
        first = match.start()
        begin, end = pattern.rfind("/", 0, first) + 1, pattern.find("/", first)
        name = pattern[begin:end]
        if end < 0 or is_folder is None or "*" in name or "?" in name:
            return first
        if not is_folder(pattern[:end]):
            return first
        start = end
    return len(pattern)


def _translate(token: str) -> str:
    """Return the regular expression of a part of a pattern."""
    if token == "**/":
        return "(?:.*/)?"
    if token == "**":
        return ".*"
    if token == "*":
        return "[^/]*"
    if token == "?":
        return "[^/]"
    if len(token) < 2:
        return re.escape(token)
    members = token[1:-1]
    negated = members.startswith("!")
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", members[negated:])
    return f"(?!/)[{'^' if negated else ''}{escaped}]"
