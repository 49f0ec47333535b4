"""The commands of the documentation's pages, taken from their code blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.helpers.paths import ROOT

PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")))
"""Pages whose commands are tested; the changelog has none."""

_FENCE = re.compile(r"\s*```(\w*)")
_SHELLS = ("", "bash", "console", "sh", "shell")
_COMMENT = re.compile(r"(^|\s+)#\s.*$")


@dataclass(frozen=True)
class DocCommand:
    """A command of a page.

    Attributes:
        page: Path of the page in the repository.
        line: Number of its first line, from 1.
        text: The command in one line, without comments.
    """

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def _code_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and content of the lines of indented blocks and of fenced blocks of a shell."""
    fence, code, blank = None, False, True
    for number, line in enumerate(text.splitlines(), 1):
        match = _FENCE.match(line)
        if match:
            fence = None if fence is not None else match[1]
            continue
        if fence is not None:
            if fence in _SHELLS:
                yield number, line
            continue
        code = line.startswith("    ") and (code or blank)
        blank = not line.strip()
        if code:
            yield number, line


def commands_in(page: str, text: str) -> list[DocCommand]:
    """Return the commands of a page, in their order.

    Lines that end in a backslash or in a pipe continue on the next line. Comments are left out.

    Args:
        page: Path of the page.
        text: The page in Markdown.
    """
    found: list[DocCommand] = []
    start, parts = 0, []
    for number, line in _code_lines(text):
        start = start if parts else number
        line = _COMMENT.sub("", line).strip()
        parts.append(line.removesuffix("\\").strip())
        if line.endswith(("\\", "|")):
            continue
        joined = " ".join(filter(None, parts))
        if joined:
            found.append(DocCommand(page, start, joined))
        parts = []
    return found


def commands_of(*pages: str) -> list[DocCommand]:
    """Return the commands of some pages of the repository."""
    return [
        command
        for page in pages
        for command in commands_in(page, (ROOT / page).read_text(encoding="utf-8"))
    ]


def synopsis_filled(text: str) -> str:
    """Return a command with its optional parts, and with the first of several allowed values.

    `--out=DIR [--size=256] --scale=1|2` becomes `--out=DIR --size=256 --scale=1`.
    """
    text = re.sub(r"\[(--[^\]]*)\]", r"\1", text)
    return re.sub(r"(--\w+=\w+)(\|\w+)+", r"\1", text)
