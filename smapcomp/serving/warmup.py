"""Requests that a server sends to itself when it has loaded the model, one for each signature.

The first call of a signature is slow, since TensorFlow then optimises its graph.
"""

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from smapcomp.serving import contract
from smapcomp.serving.contract import LOSSLESS
from smapcomp.serving.messages import predict_request, prediction_log, strings

SIDE = 64
"""Of the picture in pixels."""


def warmup_inputs(label_stride: int) -> dict[str, dict[str, np.ndarray]]:
    """Inputs of each signature, `serving_default` included.

    Args:
        label_stride: Of the variant.
    """
    ramp = np.linspace(0, 255, SIDE).astype(np.uint8)
    picture = np.stack(np.broadcast_arrays(ramp[:, None], ramp, 128), axis=-1).astype(np.uint8)
    small = picture[::8, ::8]
    cells = SIDE // label_stride
    labels = np.ones((cells, cells), np.uint8)
    view = {
        "compact_bytes": strings(_png(small), _png(picture), _png(picture)),
        "label_grid_bytes": strings(b"", b"", _png(labels)),
        "scale": np.array([8, 1, 1], np.int32),
        "quality": np.array([LOSSLESS, 50, 50], np.int32),
        "mode": strings(b"mapped", b"mapped", b"sent"),
    }
    source = {"picture_bytes": strings(_png(picture))}
    return {
        "analyze": source,
        "serving_default": source,
        "segment": source,
        "compact": source,
        "predict": view,
        "predict_values": view,
        "predict_tensors": {
            "compact": small[None],
            "scale": np.array([8], np.int32),
            "quality": np.array([50], np.int32),
            "mode": strings(b"mapped"),
        },
        "upsample": {"compact_bytes": strings(_png(small)), "scale": np.array([8], np.int32)},
        "describe": {"role": strings(*(role.encode() for role in contract.FINENETS))},
    }


def write_warmup(folder: Path, label_stride: int, model: str = contract.MODEL_NAME) -> None:
    """Writes `assets.extra/tf_serving_warmup_requests` into the folder of a SavedModel."""
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in warmup_inputs(label_stride).items():
            request = predict_request(model, None, signature, inputs)
            writer.write(prediction_log(request).SerializeToString())


def _png(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG")
    return buffer.getvalue()
