"""Requests that a server sends to itself when it has loaded the model, for every signature.

The first call of a signature is slow, since TensorFlow then optimises its graph.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from smapcomp.serving import contract
from smapcomp.serving.contract import LOSSLESS
from smapcomp.serving.messages import predict_request, prediction_log, strings
from smapcomp.serving.png import to_png
from smapcomp.zoo import FINENETS

SIDE = 64
"""Of the picture in pixels."""


def warmup_inputs(label_stride: int) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Each signature, `serving_default` included, with inputs of one picture.

    More than one would be refused by a server whose batches are smaller. Several requests for one
    signature take different ways through the networks.

    Args:
        label_stride: Of the variant.
    """
    ramp = np.linspace(0, 255, SIDE).astype(np.uint8)
    picture = np.stack(np.broadcast_arrays(ramp[:, None], ramp, 128), axis=-1).astype(np.uint8)
    small = picture[::8, ::8]
    cells = SIDE // label_stride
    labels = np.ones((cells, cells), np.uint8)
    source = {"picture_bytes": strings(to_png(picture))}
    for signature in ("analyze", "serving_default", "segment", "compact"):
        yield signature, source
    for compact, grid, scale, quality, mode in (
        (small, b"", 8, LOSSLESS, b"mapped"),
        (picture, b"", 1, 50, b"mapped"),
        (picture, to_png(labels), 1, 50, b"sent"),
    ):
        inputs = {
            "compact_bytes": strings(to_png(compact)),
            "label_grid_bytes": strings(grid),
            "scale": np.array([scale], np.int32),
            "quality": np.array([quality], np.int32),
            "mode": strings(mode),
        }
        yield "predict", inputs
        yield "predict_values", inputs
    scale = {"scale": np.array([8], np.int32)}
    rest = {"quality": np.array([50], np.int32), "mode": strings(b"mapped")}
    yield "predict_tensors", {"compact": small[None], **scale, **rest}
    yield "upsample", {"compact_bytes": strings(to_png(small)), **scale}
    yield "describe", {"role": strings(FINENETS[0].encode())}


def write_warmup(folder: Path, label_stride: int, model: str = contract.MODEL_NAME) -> None:
    """Writes `assets.extra/tf_serving_warmup_requests` into the folder of a SavedModel."""
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in warmup_inputs(label_stride):
            request = predict_request(model, None, signature, inputs)
            writer.write(prediction_log(request).SerializeToString())
