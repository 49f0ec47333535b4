"""Pictures and label maps, from whichever source the user has.

`load` opens a source, `PictureCache` keeps it in memory, `transforms` changes single examples,
`pipeline` makes batches of them, `coded_pipeline` of those whose compact images have been coded.
Jobs: `data.prepare`, `data.code_compact`, `data.browse`, `tools.data_benchmark`.

Importing the package loads no TensorFlow: a job keeps its remarks off the console first.
"""

import importlib

_MODULES = {
    "DataError": "data.errors",
    "PictureCache": "data.sources.cache",
    "clear_errors": "data.errors",
    "load": "data.sources.registry",
    "open_source": "data.sources.registry",
    "source_splits": "data.sources.registry",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
