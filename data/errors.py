"""What can be wrong with a source, and how it reaches the user out of a tf.data graph."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from smapcomp.errors import SmapcompError


class DataError(SmapcompError):
    """A source that cannot be opened or a picture that cannot be used; names the file."""


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Lets a `DataError` from inside a dataset leave the `with` block as what it is.

    TensorFlow wraps an error of a pipeline function into its own, with a page of traceback.
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"DataError: (.*)", error.message)
        if found is None:
            raise
        raise DataError(found[1]) from None
