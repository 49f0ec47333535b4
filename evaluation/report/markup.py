"""Conversion of Markdown tables and SVG plots to HTML."""

import itertools
import re
from dataclasses import dataclass
from html import escape

_RULE = re.compile(r"\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?")
_CELL_END = re.compile(r"(?<!\\)\|")
# A number with a sign, an uncertainty or a unit, or the dash of a missing number.
_FIGURE = re.compile(r"[~≈<>≤≥]?\s*[+−-]?\s*(\d[\d.,   ]*|\.\d+|[–—-]|∞)\s*([%×]|±.*|\(.*\)|dB)?")


@dataclass
class _Block:
    """Lines between empty lines: those before a table, the table, and those after it."""

    before: list[str]
    table: list[str]
    after: list[str]


def markdown_table_to_html(text: str) -> str:
    """Convert pipe tables with titles and notes to HTML.

    A title is the line above its table or the paragraph before it. Notes are the lines below the
    table or the paragraphs after it. A paragraph between two tables is a title. **bold** and `code`
    are converted; everything else is text. Columns of numbers are aligned to the right unless the
    rule under the header says otherwise.
    """
    blocks = [_block(lines) for lines in _paragraphs(text)]
    parts: list[str] = []
    title: list[str] = []
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block.table:
            title += block.before
            parts.append(_table(" ".join(title), block.table, block.after))
            title = []
        elif following and following.table and not following.before:
            title = block.before
        else:
            kind = ' class="note"' if parts else ""
            parts.append(f"<p{kind}>{_inline(' '.join(block.before))}</p>")
    return "\n".join(parts)


def plot_to_html(svg: str, caption: str) -> str:
    """Convert an SVG file to an HTML figure that scales with the page.

    The XML declaration, the document type and the metadata are removed, and fixed sizes are
    replaced by proportions.

    Args:
        svg: Text of the file.
        caption: Plain text below the figure, which screen readers read.

    Raises:
        ValueError: There is no <svg> element.
    """
    found = re.search(r"<svg\b.*</svg>", svg, re.DOTALL)
    if not found:
        raise ValueError(f"there is no <svg> element in {svg[:80]!r}")
    body = re.sub(r"<metadata\b.*?</metadata>", "", found[0], flags=re.DOTALL)
    start = re.match(r"<svg\b[^>]*>", body)[0]
    sizes = {name: _attribute(start, name) for name in ("width", "height", "viewBox")}
    bare = re.sub(r"\s(width|height|role|aria-label)=(\"[^\"]*\"|'[^']*')", "", start)
    extra = f' role="img" aria-label="{escape(caption)}"'
    if not sizes["viewBox"] and sizes["width"] and sizes["height"]:
        width, height = (re.sub(r"[a-z]+$", "", sizes[name]) for name in ("width", "height"))
        extra += f' viewBox="0 0 {width} {height}"'
    body = bare[:-1] + extra + ">" + body[len(start) :]

    return f'<figure class="plot">{body}<figcaption>{escape(caption)}</figcaption></figure>'


def unique_svg_ids(html: str, prefix: str) -> str:
    """Make the ids of SVG elements unique in a page, and limit their style rules to themselves.

    Args:
        html: HTML with any number of <svg> elements.
        prefix: Prefix of the ids, a different one for each call in a page.
    """
    numbers = iter(range(1, 1_000_000))
    return re.sub(
        r"<svg\b.*?</svg>",
        lambda match: _with_prefix(match[0], f"{prefix}-{next(numbers)}"),
        html,
        flags=re.DOTALL,
    )


def _with_prefix(svg: str, prefix: str) -> str:
    svg = re.sub(r"(\sid=[\"'])", rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"(href=[\"']#|url\([\"']?#)", rf"\g<1>{prefix}-", svg)
    start = re.match(r"<svg\b[^>]*>", svg)[0]
    name = _attribute(start, "id")
    if not name:
        name = prefix
        svg = f'<svg id="{name}"' + svg[len("<svg") :]
    # Matplotlib writes `*{...}`, which would match every element of the page.
    return re.sub(r"(<style\b[^>]*>\s*)\*\s*\{", rf"\g<1>#{name} * {{", svg)


def _attribute(tag: str, name: str) -> str | None:
    found = re.search(rf"\s{name}=(?:\"([^\"]*)\"|'([^']*)')", tag)
    return (found[1] or found[2]) if found else None


def _paragraphs(text: str) -> list[list[str]]:
    lines = [line.strip() for line in text.strip().splitlines()]
    return [list(group) for filled, group in itertools.groupby(lines, bool) if filled]


def _block(lines: list[str]) -> _Block:
    for rule in range(1, len(lines)):
        if "|" in lines[rule - 1] and _RULE.fullmatch(lines[rule]):
            end = rule + 1
            while end < len(lines) and lines[end].startswith("|"):
                end += 1
            return _Block(lines[: rule - 1], lines[rule - 1 : end], lines[end:])
    return _Block(lines, [], [])


def _table(title: str, lines: list[str], notes: list[str]) -> str:
    header, rule, *rows = [_cells(line) for line in lines]
    rows = [(row + [""] * len(header))[: len(header)] for row in rows]
    rule = (rule + ["---"] * len(header))[: len(header)]
    columns = [[row[column] for row in rows] for column in range(len(header))]
    classes = [_class(*pair) for pair in zip(rule, columns, strict=True)]
    html = ['<figure class="table">']
    if title:
        html.append(f"<figcaption>{_inline(title)}</figcaption>")
    html.append('<div class="scroll" tabindex="0"><table><thead>')
    html += [_row("th", header, classes, ' scope="col"'), "</thead><tbody>"]
    html += [_row("td", row, classes) for row in rows]
    html.append("</tbody></table></div>")
    html += [f'<p class="note">{_inline(line)}</p>' for line in notes]
    return "\n".join([*html, "</figure>"])


def _row(tag: str, cells: list[str], classes: list[str], extra: str = "") -> str:
    inner = (
        f"<{tag}{extra}{kind}>{_inline(cell)}</{tag}>"
        for cell, kind in zip(cells, classes, strict=True)
    )
    return f"<tr>{''.join(inner)}</tr>"


def _cells(line: str) -> list[str]:
    parts = _CELL_END.split(line.strip().removeprefix("|"))
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()
    return [part.strip().replace(r"\|", "|") for part in parts]


def _class(rule: str, cells: list[str]) -> str:
    """Return the HTML attribute for the alignment of a column."""
    if rule.startswith(":") and rule.endswith(":"):
        return ' class="middle"'
    if rule.startswith(":"):
        return ""
    plain = [cell.replace("*", "") for cell in cells if cell]
    figures = bool(plain) and all(_FIGURE.fullmatch(cell) for cell in plain)
    return ' class="figure"' if rule.endswith(":") or figures else ""


def _inline(text: str) -> str:
    html = escape(text)
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", html)
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html)
