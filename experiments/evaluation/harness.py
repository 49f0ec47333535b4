"""Measures codecs on pictures in parallel processes, and goes on where it was interrupted."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from experiments.evaluation import codecs, environment
from experiments.evaluation.measure import measure
from experiments.evaluation.points import Point, read_points, write_points
from smapcomp.errors import SmapcompError

POINTS, ENVIRONMENTS = "points.csv", "environments.json"

# Of the libraries that would else take every core, so that processes don't take them from one
# another and processor seconds are those of one thread.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}

Ladder = Sequence[float] | None


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
    stems = [path.stem for path in pictures]
    if len(set(stems)) < len(stems):
        twice = sorted({stem for stem in stems if stems.count(stem) > 1})
        raise SmapcompError(f"pictures of one name: {', '.join(twice)}; points would mix")
    found = [(codecs.find(name), ladder) for name, ladder in wanted]
    # All of them before any work: a codec that isn't installed must not be found out an hour later.
    versions = {codec.name: codec.version() for codec, _ in found}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / POINTS
    kept = read_points(path) if path.exists() else []
    here = environment.record(folder / ENVIRONMENTS)
    result: list[Point] = []
    for codec, ladder in found:
        version = versions[codec.name]
        known = {
            (point.picture, point.quality): point
            for point in kept
            if (point.codec, point.version, point.settings) == (codec.name, version, codec.settings)
        }
        qualities = tuple(map(float, ladder or codec.qualities))
        keys = [(picture, quality) for quality in qualities for picture in pictures]
        missing = [key for key in keys if (key[0].stem, key[1]) not in known]
        for point in _measured(codec.name, missing, jobs, here):
            known[point.picture, point.quality] = point
            kept.append(point)
            write_points(path, kept)
        result += [known[picture.stem, quality] for picture, quality in keys]
    return result


def _measured(name: str, keys: list[tuple[Path, float]], jobs: int, here: str) -> Iterable[Point]:
    """The points of one codec as they become ready. One codec a pool of processes, so that the
    libraries of another don't count as its memory."""
    if not keys:
        return
    for variable, value in _ONE_THREAD.items():
        os.environ.setdefault(variable, value)
    # Not forked: a process that has loaded the networks' library cannot be copied.
    pool = ProcessPoolExecutor(
        min(jobs, len(keys)), get_context("spawn"), initializer=_prepare, initargs=(name,)
    )
    try:
        futures = {pool.submit(_task, name, *key, here): key for key in keys}
        progress = tqdm(as_completed(futures), total=len(keys), desc=name, unit="point")
        for future in progress:
            try:
                yield future.result()
            except SmapcompError as error:
                picture, quality = futures[future]
                raise SmapcompError(f"{name}, {picture}, quality {quality:g}: {error}") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _task(name: str, picture: Path, quality: float, here: str) -> Point:
    return measure(codecs.find(name), picture, quality, here)


def _prepare(name: str) -> None:
    with contextlib.suppress(SmapcompError):  # the first point tells
        codecs.find(name).prepare()
