"""Pictures and label maps, from whichever source the user has.

`load` opens a source, `transforms` changes single examples, `pipeline` makes batches of them.
"""

from data.errors import DataError, clear_errors
from data.sources import load

__all__ = ["DataError", "clear_errors", "load"]
