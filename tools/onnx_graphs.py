r"""Makes the graphs that ONNX Runtime runs the networks by: `smapcomp/codec/graphs`.

    python -m tools.onnx_graphs --variant=lite

To be run when an architecture has changed. A graph has no weights in it: those stand in it as
external initializers named as in the weight files, which `codec.onnx_predictor` fills in.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging

from smapcomp.codec.options import CompressOptions
from smapcomp.errors import SmapcompError
from smapcomp.keras_startup import import_keras
from smapcomp.predictors.onnx_graphs import GRAPHS, graph_file
from smapcomp.zoo import ROLES, VARIANTS

FLAGS = flags.FLAGS

OPSET = 18
"""Of ONNX: the newest that tf2onnx 1.17 knows."""


def graph_of(model) -> bytes:
    """The graph of a Keras model, for batches of one picture of any size.

    Args:
        model: Any network of this package.

    Returns:
        A serialized ONNX model. Its inputs are the model's in their order; weights are external
        initializers named as in weight files, `layer/variable`.
    """
    import tensorflow as tf
    import tf2onnx

    from smapcomp.models.weights import variables_of

    weights = variables_of(model)
    inputs = [
        tf.TensorSpec((1, *x.shape[1:]), x.dtype, name=f"input_{i}")
        for i, x in enumerate(model.inputs)
    ]
    specs = [tf.TensorSpec(v.shape, v.dtype, name=name) for name, v in weights.items()]
    groups = model.trainable_variables, model.non_trainable_variables

    def call(*arguments):
        found = zip(weights.values(), arguments[len(inputs) :], strict=True)
        given = {id(variable): value for variable, value in found}
        values = [[given.get(id(v), v.value) for v in group] for group in groups]
        images = list(arguments[: len(inputs)])
        outputs, _ = model.stateless_call(
            *values, images if len(images) > 1 else images[0], training=False
        )
        return outputs

    signature = [*inputs, *specs]
    function = tf.function(call, input_signature=signature)
    onnx_model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    _make_external(onnx_model, set(weights))
    return onnx_model.SerializeToString(deterministic=True)


def _make_external(onnx_model, names: set[str]) -> None:
    """Turns inputs of these names into external initializers."""
    import onnx

    graph = onnx_model.graph
    inputs = list(graph.input)
    del graph.input[:]
    for entry in inputs:
        if entry.name not in names:
            graph.input.append(entry)
            continue
        kind = entry.type.tensor_type
        shape = [dim.dim_value for dim in kind.shape.dim]
        tensor = graph.initializer.add(
            name=entry.name,
            data_type=kind.elem_type,
            dims=shape,
            data_location=onnx.TensorProto.EXTERNAL,
        )
        tensor.external_data.add(key="location", value="weights")


def write_graphs(variant: str, folder: Path = GRAPHS) -> list[Path]:
    """Writes the graphs of a variant.

    Args:
        variant: One whose weights are in the box; their values have no part.
        folder: Of all variants' graphs.

    Returns:
        What was written.
    """
    from smapcomp import zoo
    from smapcomp.models.weights import variables_of
    from smapcomp.predictors.keras_predictor import model_of

    networks = zoo.load(variant)
    paths = {role: folder / graph_file(variant, role).relative_to(GRAPHS) for role in ROLES}
    for role, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        model = model_of(networks, role)
        path.write_bytes(graph_of(model))
        shapes = {name: list(variable.shape) for name, variable in variables_of(model).items()}
        path.with_suffix(".json").write_text(json.dumps(shapes) + "\n", encoding="utf-8")
        print(f"{path}: {path.stat().st_size} bytes")
    return list(paths.values())


def main(arguments: Sequence[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    import_keras()
    logging.set_verbosity(logging.WARNING)  # tf2onnx tells of each of its passes
    try:
        write_graphs(FLAGS.variant)
    except SmapcompError as error:
        print(f"onnx_graphs: {error}", file=sys.stderr)
        sys.exit(1)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the job's flags."""
    flags.DEFINE_enum(
        "variant", CompressOptions.variant, list(VARIANTS), "Of the networks.", flag_values=values
    )


if __name__ == "__main__":
    define_flags(FLAGS)
    app.run(main)
