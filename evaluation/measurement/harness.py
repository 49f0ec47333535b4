"""Measurement of codecs on pictures in parallel processes.

A measurement that was interrupted continues where it stopped.
"""

import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from evaluation import codecs
from evaluation.measurement import environment
from evaluation.measurement.measure import (
    decoded_path,
    measure_at_quality,
    measure_at_rate,
    settings_at_rate,
)
from evaluation.measurement.points import Point, read_points, write_points
from smapcomp.errors import SmapcompError

POINTS, ENVIRONMENTS, CODED = "points.csv", "environments.json", "coded"
"""Names in the output folder: measured points, environments, and coded pictures."""
MATCHED = "matched.csv"
"""File of the points that were measured at rates."""

# Environment variables that limit libraries to one thread: processes then do not compete for
# cores, and processor seconds are those of one thread.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}

Ladder = Sequence[float] | None


@dataclass(frozen=True)
class _Task:
    """One point to measure, at a quality or at a rate; at a rate, the files are kept.

    Attributes:
        codec: Name with options.
        picture: File of the picture.
        quality: Quality; `None` if the point is measured at a rate.
        target_bpp: Rate in bits per pixel.
        file_stem: Path of the kept files without an extension; `None` if none are kept.
    """

    codec: str
    picture: Path
    quality: float | None
    target_bpp: float | None = None
    file_stem: Path | None = None

    def run(self) -> Point:
        codec = codecs.find(self.codec)
        if self.quality is not None:
            return measure_at_quality(codec, self.picture, self.quality)
        return measure_at_rate(codec, self.picture, self.target_bpp, self.file_stem)

    def name(self) -> str:
        at = f"{self.target_bpp:g} bpp" if self.quality is None else f"quality {self.quality:g}"
        return f"{self.codec}, {self.picture}, {at}"


def measure_qualities(
    ladders: Iterable[tuple[str, Ladder]], pictures: Sequence[Path], folder: Path, jobs: int
) -> list[Point]:
    """Measure the points that are not measured yet.

    Args:
        ladders: Names of codecs with options, each with the qualities to measure, or `None` for the
            codec's own.
        pictures: Files of pictures, each with a different name.
        folder: Folder where points (`POINTS`) and environments (`ENVIRONMENTS`) are kept. A point
            in it is not measured again unless the codec's version or settings differ.
        jobs: Number of processes, each with one thread.

    Returns:
        All requested points, those measured earlier included, codec by codec.

    Raises:
        SmapcompError: A codec is unknown or not installed, two pictures have one name, or a
            measurement fails. Points measured before the failure are kept.
    """
    tasks = []
    for name, ladder in ladders:
        qualities = ladder or codecs.find(name).qualities
        tasks += [_Task(name, p, float(q)) for q, p in itertools.product(qualities, pictures)]
    return _run(tasks, folder, POINTS, jobs)


def measure_rates(
    names: Iterable[str], targets: Mapping[Path, Sequence[float]], folder: Path, jobs: int
) -> dict[tuple[str, str, float], tuple[Point, Path]]:
    """Code pictures at rates and keep the decoded pictures in the folder's subfolder `CODED`.

    Args:
        names: Names of codecs with options.
        targets: File of each picture to the rates in bits per pixel.
        folder: As for `measure_qualities`; the points are kept in `MATCHED`.
        jobs: As for `measure_qualities`.

    Returns:
        Names of codec and picture and rate to the point and the PNG file of the decoded picture.

    Raises:
        SmapcompError: As for `measure_qualities`.
    """
    tasks = []
    for name in names:
        # Characters with a meaning in paths or shells are replaced in the folder's name.
        place = folder / CODED / "".join(c if c.isalnum() or c in "-=" else "_" for c in name)
        for picture, rates in targets.items():
            tasks += [
                _Task(name, picture, None, rate, place / f"{picture.stem}-{rate:g}")
                for rate in rates
            ]
    points = _run(tasks, folder, MATCHED, jobs)
    return {
        (task.codec, task.picture.stem, task.target_bpp): (point, decoded_path(task.file_stem))
        for task, point in zip(tasks, points, strict=True)
    }


def _run(tasks: list[_Task], folder: Path, file: str, jobs: int) -> list[Point]:
    """Return the points of tasks in their order; the tasks of one codec must follow one another."""
    stems = {task.picture: task.picture.stem for task in tasks}.values()
    repeated = sorted({stem for stem in stems if list(stems).count(stem) > 1})
    if repeated:
        raise SmapcompError(f"several pictures have one name: {', '.join(repeated)}")
    found = {task.codec: codecs.find(task.codec) for task in tasks}
    # Checked for all codecs first: a missing one must not stop the job after an hour.
    versions = {name: codec.version() for name, codec in found.items()}

    def key(task: _Task) -> tuple:
        codec = found[task.codec]
        at_rate = task.quality is None
        settings = settings_at_rate(codec, task.target_bpp) if at_rate else codec.settings
        quality = None if at_rate else task.quality
        return codec.name, versions[task.codec], settings, task.picture.stem, quality

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file
    kept = read_points(path) if path.exists() else []
    here = environment.record_environment(folder / ENVIRONMENTS)
    known = {}
    for point in kept:
        at_rate = "target_bpp=" in point.settings
        quality = None if at_rate else point.quality
        known[point.codec, point.version, point.settings, point.picture, quality] = point
    for name, group in itertools.groupby(tasks, key=lambda task: task.codec):
        missing = [
            task
            for task in group
            if key(task) not in known
            or (task.file_stem and not decoded_path(task.file_stem).exists())
        ]
        for task, measured in _measure_tasks(name, missing, jobs):
            point = dataclasses.replace(measured, environment=here)
            if key(task) in known:
                kept.remove(known[key(task)])
            known[key(task)] = point
            kept.append(point)
            write_points(path, kept)
    return [known[key(task)] for task in tasks]


def _measure_tasks(name: str, tasks: list[_Task], jobs: int) -> Iterator[tuple[_Task, Point]]:
    """Yield the points of one codec as they become ready.

    Each codec has its own pool of processes, so that other codecs' libraries do not count as its
    memory.
    """
    if not tasks:
        return
    # Not forked: a process that has loaded TensorFlow cannot be copied.
    pool = ProcessPoolExecutor(
        min(jobs, len(tasks)),
        multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(name,),
    )
    try:
        with _one_thread():  # `submit` starts the processes.
            futures = {pool.submit(task.run): task for task in tasks}
        with _interrupts() as interrupted:
            for future in tqdm(as_completed(futures), total=len(tasks), desc=name, unit="point"):
                task = futures[future]
                try:
                    yield task, future.result()
                except SmapcompError as error:
                    raise SmapcompError(f"{task.name()}: {error}") from error
                except BrokenProcessPool as error:
                    raise SmapcompError(
                        f"{name}: a process ended unexpectedly, perhaps for lack of memory; "
                        f"--jobs={jobs} may be too many"
                    ) from error
                if interrupted.is_set():
                    raise KeyboardInterrupt
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Set `_ONE_THREAD` for the processes that are started within, and for no others."""
    added = {name: value for name, value in _ONE_THREAD.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Yield an event that records SIGINT reliably.

    Python drops a `KeyboardInterrupt` that is raised in a callback.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def note(*_) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _prepare(name: str) -> None:
    # An interrupt from the terminal reaches every process; the parent handles it for all.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(SmapcompError):  # The first point reports the error.
        codecs.find(name).prepare()


def _end_with_parent() -> None:
    """End this process when its parent has ended for any reason.

    Nobody takes its results then.
    """
    multiprocessing.parent_process().join()
    os._exit(1)
