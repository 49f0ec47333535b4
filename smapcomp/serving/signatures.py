"""Signatures of an exported model; docs/serving.md lists them with shapes and dtypes.

Every input and output has one entry for each picture along its first axis, so that a server can
join requests into a batch. Pictures are strings, since they may have different sizes: PNG files, or
JPEG for the inputs of `analyze`, `segment` and `compact`. The pictures of a batch are processed one
after the other, because a graph for another batch size may round differently.
"""

import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from smapcomp.design import COMPNET_SCALE
from smapcomp.serving import contract
from smapcomp.serving.contract import LOSSLESS_QUALITY
from smapcomp.serving.graph import (
    GraphPredictor,
    decode_picture,
    dequantise_compact,
    pad_picture,
    round_to_uint8,
    to_grey,
    to_rgb,
)
from smapcomp.serving.png import PNG_COMPRESSION
from smapcomp.zoo import Networks

_STRING = tf.TensorSpec((), tf.string)
_INT = tf.TensorSpec((), tf.int32)

_HEX = [f"{byte:02x}" for byte in range(256)]


def build_signatures(
    networks: Networks, precision: str = "float32"
) -> tuple[tf.Module, dict[str, Any]]:
    """Trace all signatures.

    Args:
        networks: Networks, built under the Keras policy of the precision.
        precision: One of `contract.PRECISIONS`.

    Returns:
        `(module, signatures)` as `tf.saved_model.save` takes them. The module holds the weights and
        has no functions of its own.
    """
    graph = GraphPredictor(networks)
    module = tf.Module(name="smapcomp")
    module.weights = graph.variables
    picture = {"picture_bytes": _STRING}
    window = {
        "compact_bytes": _STRING,
        "label_grid_bytes": _STRING,
        "scale": _INT,
        "quality": _INT,
        "mode": _STRING,
    }
    compact = {"compact_bytes": _STRING, "scale": _INT}
    signatures = {
        "analyze": _map_over_pictures(functools.partial(_analyze, graph), picture),
        "segment": _map_over_pictures(functools.partial(_segment, graph), picture),
        "compact": _map_over_pictures(functools.partial(_compact, graph), picture),
        "predict": _map_over_pictures(functools.partial(_predict, graph), window),
        "predict_values": _map_over_pictures(functools.partial(_predict_values, graph), window),
        "predict_tensors": _predict_tensors(graph),
        "upsample": _map_over_pictures(functools.partial(_upsample, graph), compact),
        "describe": _describe(networks, precision),
    }
    assert set(signatures) == set(contract.SIGNATURES)
    signatures["serving_default"] = signatures["analyze"]
    return module, signatures


def model_properties(networks: Networks, precision: str) -> dict[str, str | int]:
    """Return the properties of a model that do not depend on the FineNet."""
    return {
        "variant": networks.variant.name,
        "precision": precision,
        "contract_version": contract.VERSION,
        "step": networks.variant.step,
        "label_stride": networks.variant.label_stride,
        "finenets": ",".join(networks.finenets),
    }


def model_digests(networks: Networks, precision: str) -> dict[str, str]:
    """Return the digest of the weights for each FineNet that has weights, in hexadecimal.

    In float32 it is the model digest in the header of a stream. In bfloat16 the same weights give
    other predictions, so the digest is another one: of the precision and the float32 digest.
    """
    digests = {role: networks.digest(role) for role in networks.finenets}
    if precision != "float32":
        prefix = precision.encode() + b"\0"
        digests = {
            role: hashlib.sha256(prefix + digest).digest()[: len(digest)]
            for role, digest in digests.items()
        }
    return {role: digest.hex() for role, digest in digests.items()}


def _map_over_pictures(
    function: Callable[..., dict], specs: Mapping[str, tf.TensorSpec]
) -> Callable:
    """Return a signature that calls the function for one picture of a batch after the other.

    Args:
        function: Takes the inputs of one picture as keyword arguments and returns its outputs.
        specs: Specification of each input.
    """
    batched = {
        name: tf.TensorSpec((None, *spec.shape), spec.dtype, name=name)
        for name, spec in specs.items()
    }
    for_one = tf.function(lambda item: function(**item), input_signature=[specs], autograph=False)
    outputs = for_one.get_concrete_function().structured_outputs
    results = {name: tf.TensorSpec(out.shape, out.dtype) for name, out in outputs.items()}

    def run(**inputs):
        _assert_equal_lengths(inputs)
        return tf.map_fn(for_one, inputs, fn_output_signature=results, parallel_iterations=1)

    return _trace(run, batched)


def _trace(run: Callable, specs: Mapping[str, tf.TensorSpec]) -> Callable:
    """Return the concrete function of a function of keyword arguments."""
    return tf.function(run, autograph=False).get_concrete_function(**specs)


def _assert_equal_lengths(inputs: Mapping) -> None:
    """Add the assertion that all inputs have the same number of pictures."""
    lengths = tf.stack([tf.shape(tensor)[0] for tensor in inputs.values()])
    tf.debugging.Assert(
        tf.reduce_all(lengths == lengths[0]),
        [f"lengths of {', '.join(inputs)}; allowed: all equal; got", lengths],
    )


def _analyze(graph: GraphPredictor, picture_bytes) -> dict:
    picture = decode_picture(picture_bytes)
    height, width, channels = tf.unstack(tf.shape(picture))
    grey = tf.equal(channels, 1)
    levels = graph.compact_levels(graph.run_compnet(to_rgb(pad_picture(picture))), grey)
    compact = dequantise_compact(levels, graph.variant.step)
    grid, values = graph.predict_window(
        to_rgb(compact),
        tf.constant(COMPNET_SCALE),
        tf.constant(LOSSLESS_QUALITY),
        tf.constant("mapped"),
        _no_labels(),
    )
    prediction = round_to_uint8(values)[:height, :width]
    prediction = tf.cond(grey, lambda: to_grey(prediction), lambda: prediction)
    return {
        **_png_and_fingerprint("compact", compact),
        **_png_and_fingerprint("label_grid", grid[..., None]),
        **_png_and_fingerprint("prediction", prediction),
        "label_map_bytes": _encode_png(graph.label_map(grid, height, width)[..., None]),
        "height": height,
        "width": width,
    }


def _segment(graph: GraphPredictor, picture_bytes) -> dict:
    picture = decode_picture(picture_bytes)
    height, width, _ = tf.unstack(tf.shape(picture))
    grid = graph.segment(to_rgb(pad_picture(picture)))
    return {
        **_png_and_fingerprint("label_grid", grid[..., None]),
        "label_map_bytes": _encode_png(graph.label_map(grid, height, width)[..., None]),
    }


def _compact(graph: GraphPredictor, picture_bytes) -> dict:
    picture = to_rgb(pad_picture(decode_picture(picture_bytes)))
    return {"values_bytes": tf.io.serialize_tensor(graph.run_compnet(picture))}


def _upsample(graph: GraphPredictor, compact_bytes, scale) -> dict:
    signal = graph.upsample(_decode_rgb_png(compact_bytes), scale)
    return {"values_bytes": tf.io.serialize_tensor(graph.to_grey_levels(signal[0]))}


def _predict_window(graph: GraphPredictor, compact_bytes, label_grid_bytes, scale, quality, mode):
    """Return label grid and prediction of a window whose inputs are PNG files."""
    labels = tf.cond(
        tf.strings.length(label_grid_bytes) > 0,
        lambda: tf.io.decode_png(label_grid_bytes, channels=1)[..., 0],
        _no_labels,
    )
    return graph.predict_window(_decode_rgb_png(compact_bytes), scale, quality, mode, labels)


def _predict(graph: GraphPredictor, **item) -> dict:
    grid, values = _predict_window(graph, **item)
    return {
        **_png_and_fingerprint("label_grid", grid[..., None]),
        **_png_and_fingerprint("prediction", round_to_uint8(values)),
    }


def _predict_values(graph: GraphPredictor, **item) -> dict:
    grid, values = _predict_window(graph, **item)
    return {
        **_png_and_fingerprint("label_grid", grid[..., None]),
        "values_bytes": tf.io.serialize_tensor(values),
    }


def _predict_tensors(graph: GraphPredictor) -> Callable:
    """Return the signature `predict` on dense tensors, for pictures of one size."""

    def for_one(item):
        grid, values = graph.predict_window(
            item["compact"], item["scale"], item["quality"], item["mode"], _no_labels()
        )
        return {"label_grid": grid, "prediction": round_to_uint8(values)}

    results = {
        "label_grid": tf.TensorSpec((None, None), tf.uint8),
        "prediction": tf.TensorSpec((None, None, 3), tf.uint8),
    }

    def run(**inputs):
        _assert_equal_lengths(inputs)
        scale = inputs["scale"]
        tf.debugging.Assert(
            tf.reduce_all(scale == scale[0]), ["scale; allowed: one for the batch; got", scale]
        )
        return tf.map_fn(for_one, inputs, fn_output_signature=results, parallel_iterations=1)

    specs = {
        "compact": tf.TensorSpec((None, None, None, 3), tf.uint8, name="compact"),
        "scale": tf.TensorSpec((None,), tf.int32, name="scale"),
        "quality": tf.TensorSpec((None,), tf.int32, name="quality"),
        "mode": tf.TensorSpec((None,), tf.string, name="mode"),
    }
    return _trace(run, specs)


def _describe(networks: Networks, precision: str) -> Callable:
    """Return the signature that gives the model's properties and the digests of FineNets."""
    digests = model_digests(networks, precision)
    properties = model_properties(networks, precision)

    def run(role):
        same = tf.equal(role[:, None], tf.constant(list(digests)))
        tf.debugging.Assert(
            tf.reduce_all(tf.reduce_any(same, axis=1)),
            [f"role; allowed: {', '.join(digests)}; got", role],
        )
        outputs = {name: tf.fill(tf.shape(role), value) for name, value in properties.items()}
        outputs["digest"] = tf.gather(tf.constant(list(digests.values())), tf.argmax(same, axis=1))
        return outputs

    return _trace(run, {"role": tf.TensorSpec((None,), tf.string, name="role")})


def _no_labels():
    """Return the empty label grid, with which `GraphPredictor.predict_window` computes one."""
    return tf.zeros((0, 0), tf.uint8)


def _png_and_fingerprint(name: str, samples) -> dict:
    return {f"{name}_bytes": _encode_png(samples), f"{name}_fingerprint": _fingerprint(samples)}


def _encode_png(samples):
    return tf.io.encode_png(samples, compression=PNG_COMPRESSION)


def _fingerprint(samples):
    """Return FarmHash64 of the samples in row-major order, in 16 hexadecimal digits."""
    found = tf.fingerprint(tf.reshape(samples, (1, -1)))[0]
    return tf.strings.reduce_join(tf.gather(tf.constant(_HEX), tf.cast(found, tf.int32)))


def _decode_rgb_png(data):
    return tf.io.decode_png(data, channels=3)
