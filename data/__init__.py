"""Data sets: pictures and label maps for training, from whichever source the user has.

`load` opens a source and yields its examples. The folders import one another in this order only:

* `sources`: the kinds of sources, one interface for all, and a cache of decoded pictures.
* `coded`: compact images that are coded ahead of the training of lossy FineNets.
* `batches`: transforms of examples, and batches for TensorFlow and for JAX.
* `preparation`: writing of records by an Apache Beam pipeline.

The modules beside them are jobs (`data.prepare`, `data.code_compact`, `data.browse`,
`data.pack_pictures`, `data.pack_coded`) and their flags.

Importing the package loads no TensorFlow, so that a job can call `keras_startup.import_keras`
first.
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
