"""Structure of the code: who imports whom, and that a list stands in one place."""

import ast
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from smapcomp.codec.options import CompressOptions
from tests.helpers.paths import ROOT

LAYERS = (
    ("smapcomp.errors", "smapcomp.design", "smapcomp.ade20k", "smapcomp.metrics"),
    ("smapcomp.keras_startup",),
    ("smapcomp.jobs", "smapcomp.pictures", "smapcomp.models"),
    ("smapcomp.zoo",),
    ("smapcomp.predictors",),
    ("smapcomp.codec",),
    ("smapcomp.training",),
    ("smapcomp.serving",),
    ("smapcomp.files", "smapcomp.pillow"),
    ("smapcomp.cli", "smapcomp.bulk", "smapcomp.export", "smapcomp.__main__"),
    ("data",),
    ("experiments",),
    ("evaluation",),
    ("tools",),
)
"""Packages and modules from the lowest layer to the highest; a module imports none of a higher."""

PACKAGES = ("smapcomp", "data", "experiments", "evaluation", "tools")


@functools.cache
def sources() -> dict[str, Path]:
    """Return the file of every module of the project."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def tree(module: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(sources()[module].read_text(encoding="utf-8"))


def nodes_that_run(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without blocks under `if TYPE_CHECKING:`, which run in no process."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield from nodes_that_run(child)


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Return the project's modules that a module imports, inside functions too."""
    names = set()
    for node in nodes_that_run(tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if submodule in sources() else node.module)
    return frozenset(name for name in names if name in sources() and name != module)


def rank(module: str) -> int:
    """Return the number of a module's layer, 0 for the lowest."""
    for number, prefixes in enumerate(LAYERS):
        if any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes):
            return number
    raise AssertionError(f"{module} is in no layer")


MODULES = [name for name in sources() if name != "smapcomp"]
"""All but the package's own file, which imports its public functions on first use."""


def test_the_project_has_the_packages_that_are_checked():
    assert len(MODULES) > 100
    assert all(any(name.startswith(package) for name in MODULES) for package in PACKAGES)


def test_no_module_imports_one_of_a_higher_layer():
    upward = [
        f"{module} imports {other}"
        for module in MODULES
        for other in imports(module)
        if other != "smapcomp" and rank(other) > rank(module)
    ]
    assert upward == []


def test_no_modules_import_each_other_in_a_circle():
    finished: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> None:
        assert module not in path, f"circle: {' -> '.join([*path[path.index(module) :], module])}"
        if module in finished:
            return
        path.append(module)
        for other in sorted(imports(module) - {"smapcomp"}):
            visit(other)
        path.pop()
        finished.add(module)

    for module in MODULES:
        visit(module)


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [
        ("data", "smapcomp.training"),
        ("smapcomp", "data"),
        ("smapcomp", "tests"),
        ("smapcomp.codec", "smapcomp.serving"),
        ("experiments", "evaluation"),
    ],
)
def test_a_package_does_not_import_another(package, unwanted):
    names = {
        f"{module} imports {other}"
        for module in sources()
        if f"{module}.".startswith(f"{package}.")
        for other in imports(module)
        if f"{other}.".startswith(f"{unwanted}.")
    }
    assert names == set()


def names_listed_together(module: str) -> Iterator[tuple[int, set[str]]]:
    """Find the lists of a module: collections of strings, parameters, fields, keyword arguments.

    Yields:
        Line and names of each collection of string literals, of each function's parameters, of the
        annotated fields of each class, and of each call's keyword arguments.
    """
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Dict):
            entries = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            entries = list(node.elts)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            yield node.lineno, {argument.arg for argument in every}
            continue
        elif isinstance(node, ast.ClassDef):
            fields = [entry.target for entry in node.body if isinstance(entry, ast.AnnAssign)]
            yield node.lineno, {field.id for field in fields if isinstance(field, ast.Name)}
            continue
        else:
            continue
        yield (
            node.lineno,
            {e.value for e in entries if isinstance(e, ast.Constant) and isinstance(e.value, str)},
        )


OPTIONS = {field.name for field in dataclasses.fields(CompressOptions)}

REQUESTS = {name for name in OPTIONS if name.startswith("target_")} | {
    "quality",
    "max_pixels",
    "engine",
    "weights_dir",
}
"""Options that no stream and no layer has; lists of what those have may name the others."""

FACTS_OF_STREAMS = {
    "smapcomp.codec.api": "what info tells",
    "smapcomp.codec.bitstream.stream": "the header",
    "smapcomp.codec.layer_settings": "settings of one stream's layers",
    "evaluation.codecs.published_design": "the values that make the papers' design",
}
"""Modules with another list that has names in common with the options."""


def test_only_one_module_lists_the_options_of_compress():
    lists = [
        f"{module}:{line} {sorted(names & OPTIONS)}"
        for module in sources()
        if module != "smapcomp.codec.options"
        for line, names in names_listed_together(module)
        if len(names & REQUESTS) >= 3
        or (len(names & OPTIONS) >= 4 and module not in FACTS_OF_STREAMS)
    ]
    assert lists == []


def test_the_search_for_lists_of_options_finds_the_one_that_there_is():
    found = [names for _, names in names_listed_together("smapcomp.codec.options")]
    assert REQUESTS <= OPTIONS
    assert any(names >= OPTIONS for names in found)
