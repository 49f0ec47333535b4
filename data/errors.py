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

    TensorFlow wraps an error of a pipeline function into its own, with a page of traceback. A
    record whose CRC is wrong becomes a `DataError` too.
    """
    try:
        yield
    except tf.errors.DataLossError as error:
        raise DataError(f"damaged record: {error.message.splitlines()[0]}") from None
    except tf.errors.OpError as error:
        raise_data_error(error.message)
        raise


def raise_data_error(message: str) -> None:
    """Raises the `DataError` that another error's message tells of, if it tells of one."""
    found = re.search(r"DataError: (.*)", message)
    if found:
        raise DataError(found[1]) from None
