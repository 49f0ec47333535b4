"""Write the API reference from the docstrings, as HTML pages that need no network.

    python -m tools.api_docs --out=out/docs

Every module of smapcomp and data is imported for it, TensorFlow and JAX with them; modules that
run a command (`__main__`) are left out. Start with `out/docs/index.html`.
"""

import importlib
import pkgutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import pdoc
from absl import app, flags, logging

import smapcomp
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.keras_startup import import_keras

FLAGS = flags.FLAGS

PACKAGES = ("smapcomp", "data")
FOOTER = f"smapcomp {smapcomp.__version__}"


def module_names(packages: Sequence[str] = PACKAGES) -> list[str]:
    """Return the names of packages and of all modules in them, except `__main__`."""
    names = []
    for package in packages:
        names.append(package)
        path = importlib.import_module(package).__path__
        names += [module.name for module in pkgutil.walk_packages(path, f"{package}.")]
    return [name for name in names if not name.endswith("__main__")]


def write_reference(modules: Sequence[str], folder: Path) -> None:
    """Write a page for each module and an index.

    Args:
        modules: Names of modules.
        folder: Folder of the pages; created if it does not exist.
    """
    for package in map(importlib.import_module, set(PACKAGES).intersection(modules)):
        # The packages load their functions on first use; pdoc documents what is there already.
        for name in package.__all__:
            setattr(package, name, getattr(package, name))
        # pdoc lists the sub-modules of a package with `__all__` only if they are in it.
        submodules = [module.name for module in pkgutil.iter_modules(package.__path__)]
        package.__all__ = [*package.__all__, *(n for n in submodules if n != "__main__")]
    pdoc.render.configure(docformat="google", show_source=False, footer_text=FOOTER)
    # Annotations of libraries that exist for type checkers only are shown without a link.
    warnings.filterwarnings("ignore", module=r"pdoc\.doc_types")
    folder.mkdir(parents=True, exist_ok=True)
    pdoc.pdoc(*modules, output_directory=folder)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    refuse_arguments(arguments)
    logging.set_verbosity(logging.ERROR)  # Beam logs what it lacks when it is imported.
    with errors_in_one_line("api_docs"):
        if not FLAGS.modules:
            import_keras()
        modules = FLAGS.modules or module_names()
        write_reference(modules, Path(FLAGS.out))
    print(f"{FLAGS.out}: {len(modules)} modules")


if __name__ == "__main__":
    flags.DEFINE_string("out", "out/docs", "Folder of the pages.")
    flags.DEFINE_list("modules", None, "Modules to document; by default all.")
    app.run(main)
