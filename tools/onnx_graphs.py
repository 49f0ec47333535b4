"""Write the ONNX graphs by which ONNX Runtime runs the networks: `smapcomp/predictors/graphs`.

    python -m tools.onnx_graphs --variant=lite

Run it when an architecture has changed. A graph holds no weights: they are external initializers
with the names that weight files use, and `smapcomp.predictors.onnx_predictor` supplies them.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import app, flags, logging

from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.keras_startup import import_keras
from smapcomp.predictors.onnx_graphs import GRAPHS, graph_file
from smapcomp.zoo import ROLES, VARIANTS, cached_networks

if TYPE_CHECKING:
    import keras

FLAGS = flags.FLAGS

OPSET = 18
"""Version of ONNX's operators: the newest that tf2onnx 1.17 knows."""


def make_graph(model: "keras.Model") -> bytes:
    """Convert a Keras model to an ONNX graph for batches of one picture of any size.

    Args:
        model: A network of this package.

    Returns:
        Serialised ONNX model. Its inputs are the model's, in the same order. Weights are external
        initializers named as in weight files, `layer/variable`.
    """
    import tensorflow as tf
    import tf2onnx

    from smapcomp.models.weights import named_variables

    weights = named_variables(model)
    inputs = [
        tf.TensorSpec((1, *x.shape[1:]), x.dtype, name=f"input_{i}")
        for i, x in enumerate(model.inputs)
    ]
    specs = [tf.TensorSpec(v.shape, v.dtype, name=name) for name, v in weights.items()]
    groups = model.trainable_variables, model.non_trainable_variables

    def call(*arguments: tf.Tensor) -> tf.Tensor:
        # The weights become inputs of the graph; variables without a weight keep their value.
        pairs = zip(weights.values(), arguments[len(inputs) :], strict=True)
        tensors = {id(variable): tensor for variable, tensor in pairs}
        values = [[tensors.get(id(v), v.value) for v in group] for group in groups]
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


def _make_external(onnx_model: Any, names: set[str]) -> None:
    """Turn the inputs of these names into external initializers."""
    import onnx  # Takes long; only this function needs it.

    graph = onnx_model.graph
    inputs = list(graph.input)
    del graph.input[:]
    for entry in inputs:
        if entry.name not in names:
            graph.input.append(entry)
            continue
        kind = entry.type.tensor_type
        tensor = graph.initializer.add(
            name=entry.name,
            data_type=kind.elem_type,
            dims=[dim.dim_value for dim in kind.shape.dim],
            data_location=onnx.TensorProto.EXTERNAL,
        )
        tensor.external_data.add(key="location", value="weights")


def write_graphs(variant: str, folder: Path = GRAPHS) -> list[Path]:
    """Write the graphs of a variant, each with a JSON file of its weights' shapes.

    Args:
        variant: Variant that has bundled weights; their values do not matter.
        folder: Folder of the graphs of all variants.

    Returns:
        Paths of the graphs.

    Raises:
        SmapcompError: The variant has no bundled weights.
    """
    from smapcomp.models.weights import named_variables

    networks = cached_networks(variant)
    paths = {role: folder / graph_file(variant, role).relative_to(GRAPHS) for role in ROLES}
    for role, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        model = networks.model(role)
        path.write_bytes(make_graph(model))
        shapes = {name: list(variable.shape) for name, variable in named_variables(model).items()}
        path.with_suffix(".json").write_text(json.dumps(shapes) + "\n", encoding="utf-8")
        print(f"{path}: {path.stat().st_size} bytes")
    return list(paths.values())


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    refuse_arguments(arguments)
    import_keras()
    logging.set_verbosity(logging.WARNING)  # tf2onnx logs each of its passes.
    with errors_in_one_line("onnx_graphs"):
        write_graphs(FLAGS.variant)


if __name__ == "__main__":
    flags.DEFINE_enum("variant", "lite", list(VARIANTS), "variant of the networks.")
    app.run(main)
