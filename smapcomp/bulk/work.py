"""What is done with one file."""

import os
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from smapcomp import metrics
from smapcomp.bulk import files
from smapcomp.bulk.manifest import FAILED, SKIPPED, WRITTEN, Row
from smapcomp.bulk.plan import Task
from smapcomp.codec.bitstream import container
from smapcomp.errors import SmapcompError
from smapcomp.files import compress_file, decompress_file
from smapcomp.jobs.notices import listening
from smapcomp.pictures import image_files as image_io


@dataclass(frozen=True)
class Work:
    """Compressing or decompressing, by the functions of the command line.

    Networks are loaded by the first file that needs them, and stay for the process's other files.

    Attributes:
        decompress: Which of both.
        options: Of `compress_file` or `decompress_file`.
    """

    decompress: bool
    options: dict[str, Any]

    def do(self, task: Task) -> Row:
        """Makes the target unless it is there and whole; whatever happens becomes a row."""
        # Pillow and the coders want files, so all work is on local copies.
        with tempfile.TemporaryDirectory(prefix="bulk_compress_") as folder, listening() as said:
            local = _Local(task, folder)
            try:
                row = self._skipped(task, local) if task.there else None
                row = row or self._written(task, local)
            except Exception as error:
                # No one picture may stop the run, whatever a library raises on it.
                known = isinstance(error, (SmapcompError, OSError))
                reason = str(error) if known else f"{type(error).__name__}: {error}"
                row = Row(
                    task.source,
                    task.target,
                    FAILED,
                    bytes_in=task.bytes_in,
                    seconds=local.seconds(),
                    error=local.named(reason) or type(error).__name__,
                )
            notices = tuple(map(local.named, said)) if row.status != SKIPPED else ()
        return Row(**{**vars(row), "notices": notices})

    def _written(self, task: Task, local: "_Local") -> Row:
        bytes_in = files.fetch(task.source, local.source)
        # A target that is there but not whole has left its copy.
        work = decompress_file if self.decompress else compress_file
        facts = work(local.source, local.target, overwrite=True, **self.options)
        files.publish(local.target, task.target)
        size = facts["width"], facts["height"]
        return self._row(task, WRITTEN, size, bytes_in, local, local.seconds())

    def _skipped(self, task: Task, local: "_Local") -> Row | None:
        """The row of a target that is there, or None if it is not whole."""
        files.fetch(task.target, local.target)
        try:
            if self.decompress:
                height, width, _ = image_io.read_picture(local.target, 1 << 62).samples.shape
            else:
                with open(local.target, "rb") as file:
                    stream = container.unpack(file.read(), max_pixels=None)
                height, width = stream.height, stream.width
        except SmapcompError:
            return None
        return self._row(task, SKIPPED, (width, height), task.bytes_in, local, None)

    def _row(self, task, status, size, bytes_in, local: "_Local", seconds: float | None) -> Row:
        bytes_out = os.path.getsize(local.target)
        stream_bytes = bytes_in if self.decompress else bytes_out
        bpp = round(metrics.bits_per_pixel(stream_bytes, *size), 6)
        return Row(task.source, task.target, status, *size, bytes_in, bytes_out, bpp, seconds)


class _Local:
    """Local copies of a task's files, and how to speak of them.

    Attributes:
        source, target: Their paths.
    """

    def __init__(self, task: Task, folder: str):
        self._task = task
        self._began = time.perf_counter()
        # The extensions tell formats; whole names may be as long as names can be.
        self.source = os.path.join(folder, "input" + os.path.splitext(task.source)[1])
        self.target = os.path.join(folder, "output" + os.path.splitext(task.target)[1])

    def named(self, text: str) -> str:
        """The text in one line with the task's names in it; its input, said elsewhere, left out."""
        text = text.replace(self.source, self._task.source).replace(self.target, self._task.target)
        return " ".join(text.split()).removeprefix(f"{self._task.source}: ")

    def seconds(self) -> float:
        """Since the work began."""
        return round(time.perf_counter() - self._began, 3)
