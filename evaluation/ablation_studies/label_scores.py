"""Accuracy of label maps on sets of labelled pictures, kept picture by picture."""

import hashlib
import io
from pathlib import Path

import numpy as np
from tqdm import tqdm

from evaluation.ablation_studies import tables
from evaluation.ablation_studies.tables import Row, make_row
from evaluation.analysis.statistics import mean_difference, score_difference
from evaluation.measurement import segmentation
from evaluation.measurement.segmentation import LABEL_MAP_KINDS
from smapcomp.errors import SmapcompError
from smapcomp.pictures import image_files

ROLES = ("compnet", "segmenter", "smapnet")
"""Networks that the label maps depend on."""
KEEP_EVERY = 50
"""Number of pictures after which the counts are written."""

NO_SMAPNET = "none"
"""Name of the variant without SMapNet."""


def score_label_maps(networks, data: str, split: str | None, folder: Path) -> np.ndarray:
    """Count the label pixels of every picture of a source that is not counted yet.

    Args:
        networks: `zoo.Networks`.
        data: Source, as `data.load` takes it.
        split: Split, as `data.load` takes it.
        folder: Folder where the counts are kept, with a file for each source and set of networks.

    Returns:
        `ClassCounts.counts` of all pictures with a labelled pixel, `[pictures, kinds, 3, 150]`.

    Raises:
        SmapcompError: The source or a picture cannot be read, or no picture has labels.
    """
    # These imports load TensorFlow and Keras.
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
            for found in segmentation.count_labels(predictor, examples.as_numpy_iterator()):
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


def segmentation_rows(counts: np.ndarray, pictures: str) -> list[Row]:
    """Return the rows of the group "segmentation": x, and SMapNet, compared with u.

    Args:
        counts: Result of `score_label_maps`.
        pictures: Name of the set of pictures.
    """
    rows: list[Row] = []
    base = LABEL_MAP_KINDS.index("u")
    for kind in ("x", "u, after SMapNet"):
        pair = counts[:, LABEL_MAP_KINDS.index(kind)], counts[:, base]
        rows += score_rows("segmentation", pictures, "", (kind, "u"), *pair)
    return rows


def smapnet_rows(
    counts: dict[str, np.ndarray], pictures: str, conditions: str, reference: str = "classes"
) -> list[Row]:
    """Return the rows of the group "smapnet".

    Every SMapNet is compared with none, and every other SMapNet with one of them.

    Args:
        counts: Name of each SMapNet to the result of `score_label_maps` for networks with it.
        pictures: Name of the set of pictures.
        conditions: How the networks were trained.
        reference: Name of the SMapNet that the others are compared with.
    """
    maps = {
        name: found[:, LABEL_MAP_KINDS.index("u, after SMapNet")] for name, found in counts.items()
    }
    # The label map of u does not depend on SMapNet and is the same for all of them.
    maps[NO_SMAPNET] = next(iter(counts.values()))[:, LABEL_MAP_KINDS.index("u")]
    pairs = [(name, NO_SMAPNET) for name in counts]
    pairs += [(name, reference) for name in counts if name != reference and reference in counts]
    rows: list[Row] = []
    for variant, base in pairs:
        rows += score_rows(
            "smapnet", pictures, conditions, (variant, base), maps[variant], maps[base]
        )
    return rows


def score_rows(
    group: str,
    pictures: str,
    conditions: str,
    pair: tuple[str, str],
    variant: np.ndarray,
    base: np.ndarray,
) -> list[Row]:
    """Return the rows of pixel accuracy and mean IoU of two label maps of each picture.

    Args:
        group: Key of `tables.TITLES`.
        pictures: Name of the set of pictures.
        conditions: How the networks were trained.
        pair: Names of the variant and of what it is compared with.
        variant: Counts of the variant, `[pictures, 3, 150]`.
        base: Counts of what it is compared with.
    """
    ours, theirs = (100 * segmentation.pixel_accuracy(part) for part in (variant, base))
    found = [
        make_row(
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
        found.append(make_row(group, pictures, conditions, pair, figure, difference, value))
    return found


def _key(networks, data: str, split: str | None) -> str:
    """Return 12 hexadecimal digits of a digest of the source, the split and the networks' files."""
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
    image_files.write_file(path, file.getvalue(), overwrite=True)
