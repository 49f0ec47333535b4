"""Fuzz targets: each takes any bytes and must end in an error of the package or in a valid result.

The first bytes of an input select the size that the stream's header would have; the rest is the
payload.
"""

import importlib.util
from collections.abc import Callable

import numpy as np

from smapcomp.codec.bitstream.container import pack, unpack
from smapcomp.codec.bitstream.stream import Layer
from smapcomp.codec.coders import CODERS
from smapcomp.codec.layers.alpha import decode_alpha, encode_alpha
from smapcomp.codec.layers.compact import decode_compact, decode_lossy_compact
from smapcomp.codec.layers.labels import decode_labels, encode_labels
from smapcomp.codec.layers.metadata import decode_metadata, encode_metadata
from smapcomp.codec.layers.residual import decode_lossless_residual, decode_samples
from smapcomp.codec.layers.strengths import decode_strengths, encode_strengths
from smapcomp.design import MAX_METADATA_BYTES
from smapcomp.errors import MissingCoderError, StreamError
from tests.helpers.paths import STREAMS

MAX_PIXELS = 1 << 16


def container(data: bytes) -> None:
    """Read header and layers; a whole stream must be written as it was read."""
    for partial in (False, True):
        stream = unpack(data, MAX_PIXELS, partial)
        if not stream.missing:
            assert pack(stream) == bytes(data)


def _of_shape(data: bytes) -> tuple[tuple[int, int, int], bytes]:
    """Return a small shape `[h, w, 1 or 3]` and the payload."""
    head, payload = data[:3].ljust(3, b"\0"), data[3:]
    return (head[0] % 128 + 1, head[1] % 128 + 1, (1, 3)[head[2] & 1]), payload


def _picture(decode: Callable[[Layer, tuple[int, int, int]], np.ndarray], kind: str, coder: str):
    def target(data: bytes) -> None:
        shape, payload = _of_shape(data)
        found = decode(Layer(kind, coder, payload), shape)
        assert found.shape == shape
        assert found.dtype == np.uint8

    return target


def _labels(coder: str):
    def target(data: bytes) -> None:
        shape, payload = _of_shape(data)
        grid = -(-shape[0] // 4), -(-shape[1] // 4)
        labels = decode_labels(Layer("labels", coder, payload), grid)
        assert labels.shape == grid
        assert labels.max() <= 150

    return target


def _strengths(data: bytes) -> None:
    (height, width, _), payload = _of_shape(data)
    indices = decode_strengths(Layer("strengths", "adaptive", payload), (9 * height, 9 * width))
    assert indices.max() <= 4


def _alpha(data: bytes) -> None:
    shape, payload = _of_shape(data)
    assert decode_alpha(Layer("alpha", "jxl", payload), shape[:2]).shape == shape[:2]


def _metadata(data: bytes) -> None:
    assert len(decode_metadata(Layer("xmp", "deflate", data))) <= MAX_METADATA_BYTES


def _lossless(layer: Layer, shape: tuple[int, int, int]) -> np.ndarray:
    return decode_lossless_residual(layer, np.zeros(shape, np.uint8))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "container": container,
    "compact_jxl": _picture(lambda layer, shape: decode_compact(layer, shape, 1), "compact", "jxl"),
    "compact_av1": _picture(decode_lossy_compact, "compact", "av1"),
    "labels_contexts": _labels("contexts"),
    "labels_jxl": _labels("jxl"),
    "residual_av1": _picture(decode_samples, "residual", "av1"),
    "residual_heic": _picture(decode_samples, "residual", "heic"),
    "residual_jxl": _picture(_lossless, "residual", "jxl"),
    "strengths": _strengths,
    "alpha": _alpha,
    "metadata": _metadata,
}


def seeds(name: str) -> list[bytes]:
    """Return valid inputs to start from."""
    if name == "container":
        return [path.read_bytes() for path in sorted(STREAMS.glob("*.sm*"))]
    if name == "metadata":
        return [encode_metadata("xmp", b"<x:xmpmeta/>" * 3).payload]
    if name == "strengths":
        indices = np.arange(15, dtype=np.uint8).reshape(3, 5) % 5
        return [bytes([20, 35, 0]) + encode_strengths(indices).payload]
    kind, _, coder = name.partition("_")
    found = []
    for channels in (1, 3):
        image = np.random.default_rng(0).integers(90, 160, (20, 24, channels)).astype(np.uint8)
        labels = image[::4, ::4, 0] // 16
        if name == "alpha":
            payload = encode_alpha(image[..., 0]).payload
        elif name == "labels_contexts":
            payload = encode_labels(labels).payload
        elif kind == "labels":
            payload = CODERS["jxl"].encode(labels[..., None], 100, None)
        elif coder == "heic" and importlib.util.find_spec("pillow_heif") is None:
            continue
        else:
            payload = CODERS[coder].encode(image, 60, 9)
        found.append(bytes([19, 23, channels // 2]) + payload)
    return found


def run(name: str, data: bytes) -> None:
    """Run a target; an exception that it raises is a finding."""
    try:
        TARGETS[name](data)
    except MissingCoderError:
        pass
    except StreamError as error:
        message = str(error)
        assert message
        assert "\n" not in message
