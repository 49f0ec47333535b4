"""Notices of one picture from a process in which several threads work on pictures."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Collector(logging.Handler):
    """Handler that keeps the warnings of each thread that asked for them.

    It is installed on the logger "smapcomp" while at least one thread collects. When the last one
    ends, level and propagation of the logger are restored.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logger = logging.getLogger("smapcomp")
        self._lists: dict[int, list[str]] = {}
        self._lists_lock = threading.Lock()
        self._before = (logging.NOTSET, True)

    def emit(self, record: logging.LogRecord) -> None:
        notices = self._lists.get(record.thread or 0)
        if notices is not None:
            notices.append(record.getMessage())

    @contextmanager
    def collect(self) -> Iterator[list[str]]:
        notices: list[str] = []
        thread = threading.get_ident()
        with self._lists_lock:
            if not self._lists:
                self._before = (self._logger.level, self._logger.propagate)
                self._logger.setLevel(logging.WARNING)
                self._logger.propagate = False
                self._logger.addHandler(self)
            self._lists[thread] = notices
        try:
            yield notices
        finally:
            with self._lists_lock:
                del self._lists[thread]
                if not self._lists:
                    self._logger.removeHandler(self)
                    level, self._logger.propagate = self._before
                    self._logger.setLevel(level)


_collector = _Collector()


@contextmanager
def collect_notices() -> Iterator[list[str]]:
    """Collect the warnings that this thread logs on the logger "smapcomp" inside the block.

    Meanwhile no thread's warnings of that logger reach the console, not even those of threads that
    this one started.

    Yields:
        The list to which the messages are appended.

    Example:
        >>> with collect_notices() as notices:
        ...     logging.getLogger("smapcomp").warning("a notice")
        >>> notices
        ['a notice']
    """
    with _collector.collect() as notices:
        yield notices
