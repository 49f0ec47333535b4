"""Segmentation scores of sets of labelled pictures, kept picture by picture."""

import hashlib
import io
from pathlib import Path

import numpy as np
from tqdm import tqdm

from evaluation.ablation_studies import tables
from evaluation.ablation_studies.tables import Row, row
from evaluation.analysis.statistics import mean_difference, score_difference
from evaluation.measurement import segmentation
from evaluation.measurement.segmentation import VIEWS
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files as image_io

ROLES = ("compnet", "segmenter", "smapnet")
KEEP_EVERY = 50
"""Pictures between two writes of what has been scored."""

NO_SMAPNET = "none"


def measure(networks, data: str, split: str | None, folder: Path) -> np.ndarray:
    """Scores every picture of a source that is not scored yet.

    Args:
        networks: `zoo.Networks`.
        data, split: As `data.load` takes them.
        folder: Where the counts are kept, a file for each source and networks.

    Returns:
        `Labelled.counts` of all pictures that have a labelled pixel, `[pictures, views, 3, 150]`.

    Raises:
        SmapcompError: The source or a picture of it doesn't read, or has no labels at all.
    """
    from data import clear_errors, load
    from smapcomp.predictors.keras_predictor import KerasPredictor

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"labels_{_key(networks, data, split)}.npz"
    names, counts = _kept(path)
    with clear_errors():
        examples = load(data, split, labels=True, start=len(names))
        total = len(names) + int(examples.cardinality())
        progress = tqdm(initial=len(names), total=total, desc="label maps", unit="picture")
        with progress:
            predictor = KerasPredictor(networks)
            for found in segmentation.measure(predictor, examples.as_numpy_iterator()):
                names.append(found.name)
                counts.append(found.counts)
                progress.update()
                if len(names) % KEEP_EVERY == 0 or len(names) == total:
                    _keep(path, names, counts)
    scored = np.stack(counts)
    scored = scored[scored[:, 0, 1].sum(-1) > 0]
    if not len(scored):
        raise SmapcompError(f"{data}: no picture has a labelled pixel")
    return scored


def view_rows(counts: np.ndarray, pictures: str) -> list[Row]:
    """Group "segmentation": the picture itself, and SMapNet, against u.

    Args:
        counts: Of `measure`.
        pictures: Name of the set.
    """
    rows: list[Row] = []
    base = VIEWS.index("u")
    for view in ("x", "u, after SMapNet"):
        pair = counts[:, VIEWS.index(view)], counts[:, base]
        rows += compare("segmentation", pictures, "", (view, "u"), *pair)
    return rows


def smapnet_rows(
    counts: dict[str, np.ndarray], pictures: str, conditions: str, reference: str = "classes"
) -> list[Row]:
    """Group "smapnet": every SMapNet against none, and every other against one of them.

    Args:
        counts: Of `measure` for the networks with each SMapNet.
        pictures: Name of the set.
        conditions: How they were trained.
        reference: Name of the one that the others are compared with.
    """
    maps = {name: found[:, VIEWS.index("u, after SMapNet")] for name, found in counts.items()}
    # u's label map has no part of SMapNet in it and is the same in all of them.
    maps[NO_SMAPNET] = next(iter(counts.values()))[:, VIEWS.index("u")]
    pairs = [(name, NO_SMAPNET) for name in counts]
    pairs += [(name, reference) for name in counts if name != reference and reference in counts]
    rows: list[Row] = []
    for variant, base in pairs:
        rows += compare("smapnet", pictures, conditions, (variant, base), maps[variant], maps[base])
    return rows


def compare(
    group: str,
    pictures: str,
    conditions: str,
    pair: tuple[str, str],
    variant: np.ndarray,
    base: np.ndarray,
) -> list[Row]:
    """Pixel accuracy and mean IoU of two label maps of each picture, `[pictures, 3, 150]`."""
    ours, theirs = (100 * segmentation.pixel_accuracy(part) for part in (variant, base))
    found = [
        row(
            *(group, pictures, conditions, pair, tables.PIXEL_ACCURACY),
            mean_difference(ours, theirs),
            float(ours.mean()),
        )
    ]
    for figure, score in (
        (tables.ALL_PIXELS, segmentation.pixel_accuracy),
        (tables.MEAN_IOU, segmentation.mean_iou),
    ):

        def percent(counts: np.ndarray, score=score) -> np.ndarray:
            return 100 * score(counts)

        difference = score_difference(percent, variant, base)
        value = float(percent(variant.sum(0)))
        found.append(row(group, pictures, conditions, pair, figure, difference, value))
    return found


def _key(networks, data: str, split: str | None) -> str:
    """Of what is scored and the files that score it, 12 hexadecimal digits."""
    digest = hashlib.sha256(f"{data}\n{split}\n{networks.variant}\n".encode())
    for role in ROLES:
        path = networks.folder / f"{role}.npz"
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()[:12]


def _kept(path: Path) -> tuple[list[str], list[np.ndarray]]:
    if not path.exists():
        return [], []
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return list(arrays["names"]), list(arrays["counts"])
    except (OSError, ValueError, KeyError) as error:
        raise SmapcompError(f"{path}: not a file of scores: {error}") from error


def _keep(path: Path, names: list[str], counts: list[np.ndarray]) -> None:
    file = io.BytesIO()
    np.savez_compressed(file, names=np.array(names), counts=np.stack(counts))
    image_io.write_file(path, file.getvalue(), overwrite=True)
