"""The documentation: links, paths, modules and flags that it names exist; the tutorial runs."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README_WORDS = 850

LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
MODULE = re.compile(r"python -m ((?:smapcomp|data|experiments|evaluation|tools)[\w.]*)")
REPOSITORY_PATH = re.compile(
    r"`((?:smapcomp|data|experiments|evaluation|tools|tests|docs|serving)/[\w./-]+)`"
)


def named(page: Path, pattern: re.Pattern) -> set[str]:
    return {match[1] for match in pattern.finditer(page.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    links = {link for link in named(page, LINK) if "://" not in link}
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_name_modules_that_exist(page):
    missing = [name for name in named(page, MODULE) if importlib.util.find_spec(name) is None]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_of_the_repository_exist(page):
    if page.name == "CHANGELOG.md":  # names what went, too
        pytest.skip("a changelog names files of the past")
    missing = [path for path in named(page, REPOSITORY_PATH) if not (ROOT / path).exists()]
    assert not missing


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= README_WORDS


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert not [name for name in sorted(pages) if f"({name})" not in index]


def test_functions_that_the_architecture_page_names_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "smapcomp").rglob("*.py")
    )
    names = {name.split(".")[-1] for name in re.findall(r"`([A-Za-z_][\w.]*)`", text)}
    modules = {path.stem for path in (ROOT / "smapcomp").rglob("*.py")}
    modules |= {path.name for path in (ROOT / "smapcomp").iterdir()}
    unknown = [
        name
        for name in sorted(names - modules)
        if not re.search(rf"(def|class) {name}\b", sources) and f"{name} = " not in sources
    ]
    # Words in backticks that are no names of code.
    assert set(unknown) <= {"json", "keras", "ops", "py", "smapcomp", "ipynb", "info"}


def test_the_tutorial_runs():
    notebook = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(ROOT / "docs")}}
    )
    client.execute()  # raises what a cell raises
    printed = "".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream"
    )
    assert re.search(r"\d+ bytes, 0\.\d+ bits per pixel, PSNR 3\d\.\d+ dB", printed)
