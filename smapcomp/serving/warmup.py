"""Warm-up requests, which a server sends to itself after it has loaded the model.

The first call of a signature is slow, since TensorFlow optimises the graph then.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from smapcomp.serving.contract import LOSSLESS_QUALITY, MODEL_NAME
from smapcomp.serving.messages import bytes_array, make_predict_request, make_prediction_log
from smapcomp.serving.png import encode_png
from smapcomp.zoo import FINENETS, finenet_role

_SIDE = 64
"""Side of the warm-up picture in pixels."""


def warmup_inputs(
    label_stride: int, finenets: Sequence[str] = FINENETS
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield requests for every signature and for `serving_default`.

    Each has one picture, which fits the smallest batch of a server. The requests for one signature
    use different networks.

    Args:
        label_stride: Label stride of the variant.
        finenets: Roles of the model's FineNets.

    Yields:
        `(signature, inputs)`.
    """
    ramp = np.linspace(0, 255, _SIDE).astype(np.uint8)
    picture = np.stack(np.broadcast_arrays(ramp[:, None], ramp, 128), axis=-1).astype(np.uint8)
    small = picture[::8, ::8]
    cells = _SIDE // label_stride
    labels = np.ones((cells, cells), np.uint8)
    picture_input = {"picture_bytes": bytes_array(encode_png(picture))}
    for signature in ("analyze", "serving_default", "segment", "compact"):
        yield signature, picture_input
    for compact, grid, scale, quality, mode in (
        (small, b"", 8, LOSSLESS_QUALITY, b"mapped"),
        (picture, b"", 1, 50, b"mapped"),
        (picture, encode_png(labels), 1, 50, b"sent"),
    ):
        if finenet_role(scale, lossy=quality != LOSSLESS_QUALITY) not in finenets:
            continue
        inputs = {
            "compact_bytes": bytes_array(encode_png(compact)),
            "label_grid_bytes": bytes_array(grid),
            "scale": np.array([scale], np.int32),
            "quality": np.array([quality], np.int32),
            "mode": bytes_array(mode),
        }
        yield "predict", inputs
        yield "predict_values", inputs
    eighth = {"scale": np.array([8], np.int32)}
    quality = 50 if finenet_role(8, lossy=True) in finenets else LOSSLESS_QUALITY
    rest = {"quality": np.array([quality], np.int32), "mode": bytes_array(b"mapped")}
    yield "predict_tensors", {"compact": small[None], **eighth, **rest}
    yield "upsample", {"compact_bytes": bytes_array(encode_png(small)), **eighth}
    yield "describe", {"role": bytes_array(FINENETS[0].encode())}


def write_warmup(folder: Path, label_stride: int, finenets: Sequence[str] = FINENETS) -> None:
    """Write `assets.extra/tf_serving_warmup_requests` into the folder of a SavedModel."""
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in warmup_inputs(label_stride, finenets):
            request = make_predict_request(MODEL_NAME, None, signature, inputs)
            writer.write(make_prediction_log(request).SerializeToString())
