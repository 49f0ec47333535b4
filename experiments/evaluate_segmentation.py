"""Measures the segmentation that encoder and decoder see, against label maps.

    python -m experiments.evaluate_segmentation --data=DIR --split=validation

`DIR` is any source with labels that `data.load` takes. Pixel accuracy and mean IoU (over the
classes that occur; void is ignored) of three label maps: the segmenter's of the picture itself (x),
the segmenter's of the up-sampled compact image (u: mode `matched`), and that after SMapNet (mode
`mapped`).
"""

import sys

import numpy as np
from absl import app, flags

from smapcomp import metrics, zoo
from smapcomp.ade20k import CLASS_NAMES
from smapcomp.codec.compact import dequantise_compact
from smapcomp.codec.stream import pad_picture
from smapcomp.errors import SmapcompError
from smapcomp.quiet import import_keras

FLAGS = flags.FLAGS

VIEWS = ("x", "u", "u, after SMapNet")


def main(_):
    import_keras()
    try:
        evaluate()
    except SmapcompError as error:
        print(f"\nevaluate_segmentation: {error}", file=sys.stderr)
        sys.exit(1)


def evaluate() -> None:
    """Measures the source of the flags and prints the table."""
    from data import clear_errors, load
    from smapcomp.codec.predictor import Predictor

    examples = load(FLAGS.data, FLAGS.split, labels=True)
    predictor = Predictor(zoo.load(FLAGS.variant, FLAGS.weights_dir))
    labels = len(CLASS_NAMES)
    confusions = {view: np.zeros((labels, labels), np.int64) for view in VIEWS}
    with clear_errors():
        for number, example in enumerate(examples.as_numpy_iterator(), 1):
            truth = example["label_map"]
            for view, label_map in _label_maps(predictor, example["image"]).items():
                confusions[view] += metrics.confusion_matrix(truth, label_map)
            print(f"\r{number} pictures", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print("| label map of | pixel accuracy | mIoU |\n|---|---|---|")
    for view, confusion in confusions.items():
        accuracy, iou = metrics.pixel_accuracy(confusion), metrics.mean_iou(confusion)
        print(f"| {view} | {100 * accuracy:.1f} % | {100 * iou:.1f} % |")


def _label_maps(predictor, image: np.ndarray) -> dict[str, np.ndarray]:
    """The three label maps of a picture, uint8 of its size."""
    height, width, _ = image.shape
    padded = pad_picture(image)
    levels = predictor.compact_levels(padded, grey=False)
    compact = dequantise_compact(levels, predictor.variant.step)
    from smapcomp.codec.tiled_predictor import Compact

    seen = Compact(compact, zoo.PAPER_SCALE, quality=None)
    grids = (
        predictor.source_labels(padded),
        *(predictor.view(seen, mode)[0] for mode in ("matched", "mapped")),
    )
    return {
        view: predictor.variant.full_size(grid)[:height, :width]
        for view, grid in zip(VIEWS, grids, strict=True)
    }


if __name__ == "__main__":
    flags.DEFINE_string("data", None, "Folder of pictures and annotations.", required=True)
    flags.DEFINE_string("split", "validation", "Sub-folder of `images` and `annotations`.")
    flags.DEFINE_string("variant", "lite", "Variant of the networks.")
    flags.DEFINE_string("weights_dir", None, "Folder of weights; by default those in the box.")
    app.run(main)
