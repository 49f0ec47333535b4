"""The signatures of an exported model (docs/serving.md has them with shapes and dtypes).

Every input and output has one entry a picture along its first axis, so a server may put several
requests into one batch. Pictures of any size are strings: files in PNG, or JPEG where a picture
comes in. The pictures of a batch are worked on one after the other, since a graph of another batch
size may round otherwise.
"""

import functools
import hashlib
from collections.abc import Callable, Mapping

import tensorflow as tf

from smapcomp.design import COMPNET_SCALE
from smapcomp.serving import contract
from smapcomp.serving.contract import LOSSLESS
from smapcomp.serving.graph import (
    GraphPredictor,
    as_colour,
    decode_picture,
    dequantised,
    grey_of,
    pad_picture,
    rounded,
)
from smapcomp.serving.png import PNG_COMPRESSION
from smapcomp.zoo import FINENETS

STRING = tf.TensorSpec((), tf.string)
INT = tf.TensorSpec((), tf.int32)

_HEX = [f"{byte:02x}" for byte in range(256)]


def build_signatures(networks, precision: str = "float32") -> "tuple[tf.Module, Mapping]":
    """Traces all signatures.

    Args:
        networks: `zoo.Networks` or alike, built under the precision's policy.
        precision: One of `PRECISIONS`.

    Returns:
        `(module, signatures)` as `tf.saved_model.save` takes them. The module has no functions of
        its own; it holds the weights.
    """
    graph = GraphPredictor(networks)
    module = tf.Module(name="smapcomp")
    module.weights = graph.variables
    source = {"picture_bytes": STRING}
    view = {
        "compact_bytes": STRING,
        "label_grid_bytes": STRING,
        "scale": INT,
        "quality": INT,
        "mode": STRING,
    }
    small = {"compact_bytes": STRING, "scale": INT}
    found = {
        "analyze": _each(functools.partial(_analyze, graph), source),
        "segment": _each(functools.partial(_segment, graph), source),
        "compact": _each(functools.partial(_compact, graph), source),
        "predict": _each(functools.partial(_predict, graph), view),
        "predict_values": _each(functools.partial(_predict_values, graph), view),
        "predict_tensors": _predict_tensors(graph),
        "upsample": _each(functools.partial(_upsample, graph), small),
        "describe": _describe(networks, precision),
    }
    assert set(found) == set(contract.SIGNATURES)
    found["serving_default"] = found["analyze"]
    return module, found


def model_facts(networks, precision: str) -> dict[str, str | int]:
    """What `describe` tells of the model as a whole."""
    return {
        "variant": networks.variant.name,
        "precision": precision,
        "contract_version": contract.VERSION,
        "step": networks.variant.step,
        "label_stride": networks.variant.label_stride,
    }


def model_digests(networks, precision: str) -> dict[str, str]:
    """What `describe` tells of each of `FINENETS`, in hexadecimal.

    In float32 it is what the header of a stream has. Computed in bfloat16, the same weights give
    other predictions, so they have another identity.
    """
    digests = {role: networks.digest(role) for role in FINENETS}
    if precision != "float32":
        mark = precision.encode() + b"\0"
        digests = {
            role: hashlib.sha256(mark + digest).digest()[: len(digest)]
            for role, digest in digests.items()
        }
    return {role: digest.hex() for role, digest in digests.items()}


def _each(work: Callable[..., dict], specs: Mapping[str, tf.TensorSpec]) -> Callable:
    """A signature that does the work on one entry of its inputs after the other."""
    batched = {
        name: tf.TensorSpec((None, *spec.shape), spec.dtype, name=name)
        for name, spec in specs.items()
    }
    one = tf.function(lambda item: work(**item), input_signature=[specs], autograph=False)
    outputs = one.get_concrete_function().structured_outputs
    results = {name: tf.TensorSpec(out.shape, out.dtype) for name, out in outputs.items()}

    def run(**inputs):
        same_length(inputs)
        return tf.map_fn(one, inputs, fn_output_signature=results, parallel_iterations=1)

    return _traced(run, batched)


def _traced(run: Callable, specs: Mapping[str, tf.TensorSpec]) -> Callable:
    """The concrete function of keyword arguments."""
    return tf.function(run, autograph=False).get_concrete_function(**specs)


def same_length(inputs: Mapping) -> None:
    """Every input has an entry for each picture."""
    lengths = tf.stack([tf.shape(tensor)[0] for tensor in inputs.values()])
    tf.debugging.Assert(
        tf.reduce_all(lengths == lengths[0]),
        [f"lengths of {', '.join(inputs)}; allowed: all equal; got", lengths],
    )


def _analyze(graph: GraphPredictor, picture_bytes) -> dict:
    picture = decode_picture(picture_bytes)
    height, width, channels = tf.unstack(tf.shape(picture))
    grey = tf.equal(channels, 1)
    levels = graph.compact_levels(graph.compact_of(as_colour(pad_picture(picture))), grey)
    compact = dequantised(levels, graph.variant.step)
    scale, quality = tf.constant(COMPNET_SCALE), tf.constant(LOSSLESS)
    none = tf.zeros((0, 0), tf.uint8)
    grid, values = graph.view(as_colour(compact), scale, quality, tf.constant("mapped"), none)
    prediction = rounded(values)[:height, :width]
    prediction = tf.cond(grey, lambda: grey_of(prediction), lambda: prediction)
    return {
        **_picture("compact", compact),
        **_picture("label_grid", grid[..., None]),
        **_picture("prediction", prediction),
        "label_map_bytes": _png(graph.label_map(grid, height, width)[..., None]),
        "height": height,
        "width": width,
    }


def _segment(graph: GraphPredictor, picture_bytes) -> dict:
    picture = decode_picture(picture_bytes)
    height, width, _ = tf.unstack(tf.shape(picture))
    grid = graph.labels_of(as_colour(pad_picture(picture)))
    return {
        **_picture("label_grid", grid[..., None]),
        "label_map_bytes": _png(graph.label_map(grid, height, width)[..., None]),
    }


def _compact(graph: GraphPredictor, picture_bytes) -> dict:
    picture = as_colour(pad_picture(decode_picture(picture_bytes)))
    return {"values_bytes": tf.io.serialize_tensor(graph.compact_of(picture))}


def _upsample(graph: GraphPredictor, compact_bytes, scale) -> dict:
    signal = graph.upsampled(_colour_png(compact_bytes), scale)
    return {"values_bytes": tf.io.serialize_tensor(graph.levels(signal[0]))}


def _view(graph: GraphPredictor, compact_bytes, label_grid_bytes, scale, quality, mode):
    given = tf.cond(
        tf.strings.length(label_grid_bytes) > 0,
        lambda: tf.io.decode_png(label_grid_bytes, channels=1)[..., 0],
        lambda: tf.zeros((0, 0), tf.uint8),
    )
    return graph.view(_colour_png(compact_bytes), scale, quality, mode, given)


def _predict(graph: GraphPredictor, **item) -> dict:
    grid, values = _view(graph, **item)
    return {
        **_picture("label_grid", grid[..., None]),
        **_picture("prediction", rounded(values)),
    }


def _predict_values(graph: GraphPredictor, **item) -> dict:
    grid, values = _view(graph, **item)
    return {
        **_picture("label_grid", grid[..., None]),
        "values_bytes": tf.io.serialize_tensor(values),
    }


def _predict_tensors(graph: GraphPredictor) -> Callable:
    """`predict` on dense tensors, for pictures that all have the same size."""
    none = tf.zeros((0, 0), tf.uint8)

    def one(item):
        grid, values = graph.view(
            item["compact"], item["scale"], item["quality"], item["mode"], none
        )
        return {"label_grid": grid, "prediction": rounded(values)}

    results = {
        "label_grid": tf.TensorSpec((None, None), tf.uint8),
        "prediction": tf.TensorSpec((None, None, 3), tf.uint8),
    }

    def run(**inputs):
        same_length(inputs)
        scale = inputs["scale"]
        tf.debugging.Assert(
            tf.reduce_all(scale == scale[0]), ["scale; allowed: one for the batch; got", scale]
        )
        return tf.map_fn(one, inputs, fn_output_signature=results, parallel_iterations=1)

    specs = {
        "compact": tf.TensorSpec((None, None, None, 3), tf.uint8, name="compact"),
        "scale": tf.TensorSpec((None,), tf.int32, name="scale"),
        "quality": tf.TensorSpec((None,), tf.int32, name="quality"),
        "mode": tf.TensorSpec((None,), tf.string, name="mode"),
    }
    return _traced(run, specs)


def _describe(networks, precision: str) -> Callable:
    """Facts for each FineNet that is asked about, the same for all but the digest."""
    digests = model_digests(networks, precision)
    facts = model_facts(networks, precision)

    def run(role):
        same = tf.equal(role[:, None], tf.constant(list(digests)))
        tf.debugging.Assert(
            tf.reduce_all(tf.reduce_any(same, axis=1)),
            [f"role; allowed: {', '.join(digests)}; got", role],
        )
        outputs = {name: tf.fill(tf.shape(role), value) for name, value in facts.items()}
        outputs["digest"] = tf.gather(tf.constant(list(digests.values())), tf.argmax(same, axis=1))
        return outputs

    return _traced(run, {"role": tf.TensorSpec((None,), tf.string, name="role")})


def _picture(name: str, samples) -> dict:
    """A picture as PNG and its fingerprint."""
    return {f"{name}_bytes": _png(samples), f"{name}_fingerprint": _fingerprint(samples)}


def _png(samples):
    return tf.io.encode_png(samples, compression=PNG_COMPRESSION)


def _fingerprint(samples):
    """FarmHash64 of the samples in row-major order, 16 hexadecimal digits."""
    found = tf.fingerprint(tf.reshape(samples, (1, -1)))[0]
    return tf.strings.reduce_join(tf.gather(tf.constant(_HEX), tf.cast(found, tf.int32)))


def _colour_png(data):
    return tf.io.decode_png(data, channels=3)
