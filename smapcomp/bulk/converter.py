"""Compression or decompression of one file of the plan."""

import dataclasses
import os
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from smapcomp import metrics
from smapcomp.bulk import files
from smapcomp.bulk.manifest import FAILED, SKIPPED, WRITTEN, ManifestEntry
from smapcomp.bulk.plan import Task
from smapcomp.codec.bitstream.container import unpack
from smapcomp.errors import one_line
from smapcomp.files import compress_file, decompress_file
from smapcomp.jobs.exits import describe_error
from smapcomp.jobs.notices import collect_notices
from smapcomp.pictures.image_files import read_picture

_NO_LIMIT = 1 << 62
"""Pixels; an output of the job may have any size."""


@dataclass(frozen=True)
class FileConverter:
    """Compressor or decompressor of files, by the functions that the command line uses.

    The networks are loaded by the first file that needs them and serve all later files of the
    process.

    Attributes:
        decompress: Whether files are decompressed.
        options: Options of `compress_file` or `decompress_file`.
    """

    decompress: bool
    options: dict[str, Any]

    def convert(self, task: Task) -> ManifestEntry:
        """Make the output of a task unless it exists and is whole.

        An error becomes an entry with status "failed".
        """
        local, notices = _LocalCopies(task), list[str]()
        try:
            # Pillow and the coders need local files.
            with (
                tempfile.TemporaryDirectory(prefix="smapcomp_bulk_") as local.folder,
                collect_notices() as notices,
            ):
                entry = self._skip(task, local) if task.up_to_date else None
                entry = entry or self._write(task, local)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # A picture must not stop the run, whatever exception a library raises for it. Those of
            # libraries in Rust are no subclasses of Exception.
            entry = ManifestEntry(
                task.source,
                task.target,
                FAILED,
                bytes_in=task.bytes_in,
                seconds=local.seconds(),
                error=local.with_real_paths(describe_error(error)),
            )
        if entry.status == SKIPPED:
            return entry
        return dataclasses.replace(entry, notices=tuple(map(local.with_real_paths, notices)))

    def _write(self, task: Task, local: "_LocalCopies") -> ManifestEntry:
        bytes_in = files.fetch(task.source, local.source)
        convert_file = decompress_file if self.decompress else compress_file
        # A damaged output has left its local copy, which may be replaced.
        facts = convert_file(local.source, local.target, overwrite=True, **self.options)
        files.publish(local.target, task.target)
        size = facts["width"], facts["height"]
        return self._entry(task, WRITTEN, size, bytes_in, local, local.seconds())

    def _skip(self, task: Task, local: "_LocalCopies") -> ManifestEntry | None:
        """Return the entry of an output that exists; `None` if the output is damaged."""
        files.fetch(task.target, local.target)
        try:
            if self.decompress:
                height, width, _ = read_picture(local.target, _NO_LIMIT).samples.shape
            else:
                with open(local.target, "rb") as file:
                    stream = unpack(file.read(), max_pixels=None)
                height, width = stream.height, stream.width
        except Exception:
            return None  # Whatever a reader raises for it, the output is damaged.
        return self._entry(task, SKIPPED, (width, height), task.bytes_in, local, None)

    def _entry(
        self,
        task: Task,
        status: str,
        size: tuple[int, int],
        bytes_in: int,
        local: "_LocalCopies",
        seconds: float | None,
    ) -> ManifestEntry:
        bytes_out = os.path.getsize(local.target)
        stream_bytes = bytes_in if self.decompress else bytes_out
        bpp = round(metrics.bits_per_pixel(stream_bytes, *size), 6)
        return ManifestEntry(
            task.source, task.target, status, *size, bytes_in, bytes_out, bpp, seconds
        )


class _LocalCopies:
    """Local copies of a task's input and output.

    Attributes:
        folder: Folder of the copies.
    """

    def __init__(self, task: Task):
        self._task = task
        self._began = time.perf_counter()
        self.folder = ""

    # Whole names could be too long for the folder, and the extension of an input has no meaning.

    @property
    def source(self) -> str:
        """Path of the input's copy."""
        return os.path.join(self.folder, "input")

    @property
    def target(self) -> str:
        """Path of the output's copy, with the extension that selects the format."""
        return os.path.join(self.folder, "output" + os.path.splitext(self._task.target)[1])

    def with_real_paths(self, message: str) -> str:
        """Return a message in one line, with the task's paths in place of the copies' paths.

        The path of the input is left out at the beginning, since the entry has it.
        """
        if self.folder:
            message = message.removeprefix(f"{self.source}: ")
            message = message.replace(self.source, self._task.source)
            message = message.replace(self.target, self._task.target)
        return one_line(message.removeprefix(f"{self._task.source}: "))

    def seconds(self) -> float:
        """Return the seconds since the work began."""
        return round(time.perf_counter() - self._began, 3)
