"""Measures codecs on pictures in parallel processes, and goes on where it was interrupted."""

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
from evaluation.measurement.measure import kept_picture, measure, measure_at, settings_at
from evaluation.measurement.points import Point, read_points, write_points
from smapcomp.errors import SmapcompError

POINTS, ENVIRONMENTS, CODED = "points.csv", "environments.json", "coded"
MATCHED = "matched.csv"

# Of the libraries that would else take every core, so that processes don't take them from one
# another and processor seconds are those of one thread.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}

Ladder = Sequence[float] | None


@dataclass(frozen=True)
class _Task:
    """One point to measure: at a quality, or at a rate, whose files are kept."""

    codec: str
    picture: Path
    quality: float | None
    target_bpp: float | None = None
    keep: Path | None = None

    def run(self) -> Point:
        codec = codecs.find(self.codec)
        if self.quality is not None:
            return measure(codec, self.picture, self.quality)
        return measure_at(codec, self.picture, self.target_bpp, self.keep)

    def name(self) -> str:
        at = f"{self.target_bpp:g} bpp" if self.quality is None else f"quality {self.quality:g}"
        return f"{self.codec}, {self.picture}, {at}"


def run(
    wanted: Iterable[tuple[str, Ladder]], pictures: Sequence[Path], folder: Path, jobs: int
) -> list[Point]:
    """Measures what is not measured yet.

    Args:
        wanted: Codecs, by name with options, each with the qualities to measure; None: its own.
        pictures: Files of pictures, each with another name.
        folder: Where the points (`POINTS`) and their environments (`ENVIRONMENTS`) are kept. A
            point that is there is not measured again, unless the codec's version or settings are
            other ones.
        jobs: Processes, each with one thread.

    Returns:
        The points of what was wanted, those measured earlier included, codec by codec.

    Raises:
        SmapcompError: A codec is unknown or not installed, two pictures have one name, or a
            measurement fails; what was measured until then is kept.
    """
    tasks = []
    for name, ladder in wanted:
        qualities = ladder or codecs.find(name).qualities
        tasks += [_Task(name, p, float(q)) for q, p in itertools.product(qualities, pictures)]
    return _run(tasks, folder, POINTS, jobs)


def run_matched(
    names: Iterable[str], targets: Mapping[Path, Sequence[float]], folder: Path, jobs: int
) -> dict[tuple[str, str, float], tuple[Point, Path]]:
    """Codes pictures at given rates and keeps what they decode to, in the folder's `CODED`.

    Args:
        names: Codecs, by name with options.
        targets: Of each picture's file, the rates, bits per pixel.
        folder, jobs: As `run` has them; the points are kept in `MATCHED`.

    Returns:
        Codec's name, picture's name and rate to the point and the decoded picture's PNG file.

    Raises:
        SmapcompError: As `run`.
    """
    tasks = []
    for name in names:
        # A folder's name must not hold what paths and shells read otherwise.
        place = folder / CODED / "".join(c if c.isalnum() or c in "-=" else "_" for c in name)
        for picture, rates in targets.items():
            tasks += [
                _Task(name, picture, None, rate, place / f"{picture.stem}-{rate:g}")
                for rate in rates
            ]
    points = _run(tasks, folder, MATCHED, jobs)
    return {
        (task.codec, task.picture.stem, task.target_bpp): (point, kept_picture(task.keep))
        for task, point in zip(tasks, points, strict=True)
    }


def _run(tasks: list[_Task], folder: Path, file: str, jobs: int) -> list[Point]:
    """The points of the tasks, in their order; tasks of one codec must follow one another."""
    stems = {task.picture: task.picture.stem for task in tasks}.values()
    twice = sorted({stem for stem in stems if list(stems).count(stem) > 1})
    if twice:
        raise SmapcompError(f"pictures of one name: {', '.join(twice)}; their points would mix")
    found = {task.codec: codecs.find(task.codec) for task in tasks}
    # All of them before any work: a codec that isn't installed must not be found out an hour later.
    versions = {name: codec.version() for name, codec in found.items()}

    def key(task: _Task) -> tuple:
        codec = found[task.codec]
        at_rate = task.quality is None
        settings = settings_at(codec, task.target_bpp) if at_rate else codec.settings
        quality = None if at_rate else task.quality
        return codec.name, versions[task.codec], settings, task.picture.stem, quality

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file
    kept = read_points(path) if path.exists() else []
    here = environment.record(folder / ENVIRONMENTS)
    known = {}
    for point in kept:
        at_rate = "target_bpp=" in point.settings
        quality = None if at_rate else point.quality
        known[point.codec, point.version, point.settings, point.picture, quality] = point
    for name, group in itertools.groupby(tasks, key=lambda task: task.codec):
        missing = [
            task
            for task in group
            if key(task) not in known or (task.keep and not kept_picture(task.keep).exists())
        ]
        for task, measured in _measured(name, missing, jobs):
            point = dataclasses.replace(measured, environment=here)
            if key(task) in known:
                kept.remove(known[key(task)])
            known[key(task)] = point
            kept.append(point)
            write_points(path, kept)
    return [known[key(task)] for task in tasks]


def _measured(name: str, tasks: list[_Task], jobs: int) -> Iterator[tuple[_Task, Point]]:
    """The points of one codec as they become ready. Each codec has a pool of processes of its own,
    so that the libraries of another don't count as its memory."""
    if not tasks:
        return
    # Not forked: a process that has loaded the networks' library cannot be copied.
    pool = ProcessPoolExecutor(
        min(jobs, len(tasks)),
        multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(name,),
    )
    try:
        with _one_thread():  # processes start where tasks are handed in
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
                        f"{name}: a process ended; was there too little memory for --jobs={jobs}?"
                    ) from error
                if interrupted.is_set():
                    raise KeyboardInterrupt
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Gives `_ONE_THREAD` to the processes that are started within, and to no others."""
    added = {name: value for name, value in _ONE_THREAD.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Tells of an interrupt for sure: Python drops one that is raised amid a callback."""
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
    # An interrupt from the terminal reaches every process; the parent's word is enough.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(SmapcompError):  # the first point tells
        codecs.find(name).prepare()


def _end_with_parent() -> None:
    """Ends this process when its parent has ended, however that came: nobody takes its results."""
    multiprocessing.parent_process().join()
    os._exit(1)
