"""Pictures and label maps, from whichever source the user has.

`load` opens a source, `PictureCache` keeps it in memory, `transforms` changes single examples,
`pipeline` makes batches of them.
"""

from data.cache import PictureCache
from data.errors import DataError, clear_errors
from data.sources import load

__all__ = ["DataError", "PictureCache", "clear_errors", "load"]
