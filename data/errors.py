"""The error of a data set, and how it leaves a tf.data graph."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from smapcomp.errors import SmapcompError


class DataError(SmapcompError):
    """A source cannot be opened or an example cannot be used; the message names the file."""


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Restore the `DataError` that TensorFlow wraps into an error of its own.

    An error in a pipeline function leaves TensorFlow as an `OpError` with a page of traceback. A
    record whose checksum is wrong becomes a `DataError` too.

    Raises:
        DataError: The block raised it inside a dataset, or read a damaged record.
    """
    try:
        yield
    except tf.errors.DataLossError as error:
        raise DataError(f"damaged record: {error.message.splitlines()[0]}") from None
    except tf.errors.OpError as error:
        raise_data_error(error.message)
        raise


def raise_data_error(message: str) -> None:
    """Raise the `DataError` that the message of another error quotes; return if there is none."""
    found = re.search(r"DataError: (.*)", message)
    if found:
        raise DataError(found[1]) from None
