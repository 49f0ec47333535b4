"""The notices of one picture, out of a process in which threads work on several."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Collector(logging.Handler):
    """Keeps what each thread says that listens.

    The logger belongs to the process: it is as before when the last listener has left.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logger = logging.getLogger("smapcomp")
        self._lists: dict[int, list[str]] = {}
        self._changing = threading.Lock()
        self._before = (logging.NOTSET, True)

    def emit(self, record: logging.LogRecord) -> None:
        heard = self._lists.get(record.thread)
        if heard is not None:
            heard.append(record.getMessage())

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """The list that this thread's notices go to."""
        heard: list[str] = []
        thread = threading.get_ident()
        with self._changing:
            if not self._lists:
                self._before = (self._logger.level, self._logger.propagate)
                self._logger.setLevel(logging.WARNING)
                self._logger.propagate = False
                self._logger.addHandler(self)
            self._lists[thread] = heard
        try:
            yield heard
        finally:
            with self._changing:
                del self._lists[thread]
                if not self._lists:
                    self._logger.removeHandler(self)
                    level, self._logger.propagate = self._before
                    self._logger.setLevel(level)


listening = _Collector().listening
"""`with listening() as notices`: the notices on the logger "smapcomp" of this thread go there, and
nobody's to the console, not even those of threads that it started."""
