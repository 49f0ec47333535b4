"""Progress bar of files that other processes write."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from tqdm import tqdm


@contextlib.contextmanager
def file_progress(
    waiting: Mapping[str, int], name: str, exists: Callable[[str], bool], unit: str = "picture"
) -> Iterator[None]:
    """Show a bar of the files that exist, whichever workers write them.

    The bar is full at the end unless the work under it raises an exception: what could not be made
    has no file, but is done with as well.

    Args:
        waiting: Paths, and how much each advances the bar.
        name: Description of the bar.
        exists: Returns whether a path exists.
        unit: Unit of the bar.
    """
    ended = threading.Event()
    succeeded = False
    left = dict(waiting)

    def watch() -> None:
        with tqdm(total=sum(left.values()), desc=name, unit=unit) as bar:
            last, spent = False, 0.0
            while not last:
                last = ended.wait(max(0.5, 20 * spent))  # checking many files takes long
                began = time.monotonic()
                for path in [path for path in left if exists(path)]:
                    bar.update(left.pop(path))
                spent = time.monotonic() - began
            if succeeded:
                bar.update(sum(left.values()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
        succeeded = True
    finally:
        ended.set()
        watcher.join()
