"""Cost of a training step, counted in its graph: floating-point operations and memory.

Counting runs nothing and needs no accelerator. It depends on shapes alone, not on the processor.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import tensorflow as tf

from smapcomp.errors import SmapcompError
from smapcomp.training.stages.stage import Stage


@dataclass(frozen=True)
class StepCost:
    """Cost of one training step.

    Attributes:
        flops: Number format, such as "float32", to the floating-point operations in that format,
            forward and backward pass; a multiplication and an addition count as two.
        state_bytes: Bytes of the weights of all networks and of the optimizers' variables.
        kept_bytes: Bytes of what the forward pass keeps for the backward pass.
    """

    flops: Mapping[str, int]
    state_bytes: int
    kept_bytes: int

    @property
    def total_flops(self) -> int:
        """Floating-point operations of a step in all formats."""
        return sum(self.flops.values())


def step_cost(
    stage: Stage,
    optimizers: Mapping,
    function: tf.types.experimental.PolymorphicFunction,
    batch: Mapping[str, tf.TensorSpec],
) -> StepCost:
    """Return the cost of a training step.

    Args:
        stage: The stage.
        optimizers: Its optimizers, with their slots.
        function: `step.step_function` of both, on one device.
        batch: Shapes and dtypes of a batch, all of them known.

    Raises:
        SmapcompError: The graph has an operation that cannot be counted.
    """
    concrete = function.get_concrete_function(dict(batch), tf.TensorSpec([], tf.float32))
    losses = [
        tensor for name, tensor in concrete.structured_outputs.items() if name.startswith("loss/")
    ]
    variables = [v for model in stage.models.values() for v in model.variables]
    variables += [v for optimizer in optimizers.values() for v in optimizer.variables]
    flops: Counter[str] = Counter()
    for (_, number_format), count in count_flops(concrete.graph).items():
        flops[number_format] += count
    return StepCost(
        dict(flops),
        # Optimizers of two groups may share a variable.
        sum({id(v): _bytes(v.value) for v in variables}.values()),
        kept_bytes(concrete.graph, losses),
    )


def count_flops(graph: tf.Graph) -> dict[tuple[str, str], int]:
    """Count the operations of convolutions and matrix products that a function executes.

    Everything else is left out: element-wise operations, normalisation, resizing, and the look-ups
    of `LabelConv2D`, whose number depends on the labels. Products with padding count.

    Args:
        graph: Graph of a concrete function.

    Returns:
        Type of operation and number format, such as ("Conv2D", "float32"), to floating-point
        operations; a multiplication and an addition count as two.

    Raises:
        SmapcompError: A shape is unknown, or a nested function has such operations.
    """
    for function in graph.as_graph_def().library.function:
        nested = {node.op for node in function.node_def} & set(PRODUCTS)
        if nested:
            raise SmapcompError(f"{', '.join(sorted(nested))} in a nested function is not counted")
    flops: Counter[tuple[str, str]] = Counter()
    for operation in _executed(graph):
        if operation.type in PRODUCTS:
            sums, terms = PRODUCTS[operation.type](operation)
            flops[operation.type, operation.outputs[0].dtype.name] += 2 * sums * terms
    return dict(flops)


def kept_bytes(graph: tf.Graph, losses: Iterable[tf.Tensor]) -> int:
    """Return the bytes that the forward pass of a training step keeps for the backward pass.

    These are the results of operations on which the losses depend and that are an argument of any
    other operation, without weights. A lower bound of a step's memory: the temporary memory of
    operations, gradients, and tensors whose size depends on the labels are left out.

    Args:
        graph: Graph of the concrete function of the step.
        losses: The losses, tensors of the graph.
    """
    forward = _ancestors([loss.op for loss in losses], lambda op: [t.op for t in op.inputs])
    kept = {}
    for operation in _executed(graph) - forward:
        if operation.type in SHAPE_READERS:
            continue
        for tensor in operation.inputs:
            stored = _stored(tensor)
            if stored.op in forward and stored.op.type not in NOT_ACTIVATIONS:
                kept[stored.ref()] = _bytes(stored)
    return sum(kept.values())


SHAPE_READERS = ("Shape", "ShapeN", "Size", "Rank")
"""Operations that read the shape of their arguments only."""

NOT_ACTIVATIONS = ("Const", "Placeholder", "ReadVariableOp")
"""Operations whose results are constants, the batch, or weights."""

SAME_MEMORY = ("ExpandDims", "Identity", "PreventGradient", "Reshape", "Squeeze", "StopGradient")
"""Operations whose result lies where their first argument lies."""


def _stored(tensor: tf.Tensor) -> tf.Tensor:
    """Return the tensor whose memory holds a tensor."""
    while tensor.op.type in SAME_MEMORY:
        tensor = tensor.op.inputs[0]
    return tensor


def _bytes(tensor: tf.Tensor) -> int:
    """Return the bytes of a tensor; 0 if its shape is unknown."""
    if not tensor.shape.is_fully_defined() or tensor.dtype == tf.resource:
        return 0
    return tensor.shape.num_elements() * tf.as_dtype(tensor.dtype).size


def _executed(graph: tf.Graph) -> set[tf.Operation]:
    """Return the operations on which the results and the effects of a function depend."""
    ends = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    return _ancestors(ends, lambda op: [*(tensor.op for tensor in op.inputs), *op.control_inputs])


def _ancestors(
    ends: Iterable[tf.Operation], arguments: Callable[[tf.Operation], list[tf.Operation]]
) -> set[tf.Operation]:
    """Return operations and all on which they depend."""
    found, waiting = set(ends), list(ends)
    while waiting:
        for argument in arguments(waiting.pop()):
            if argument not in found:
                found.add(argument)
                waiting.append(argument)
    return found


def _count(operation: tf.Operation, shape: tf.TensorShape) -> int:
    """Return the number of elements of a shape."""
    if not shape.is_fully_defined():
        raise SmapcompError(f"{operation.type} {operation.name} has the unknown shape {shape}")
    return math.prod(shape)


Terms = tuple[int, int]
"""Number of sums that an operation computes, and number of products in each."""


def _convolution(op: tf.Operation, window: int) -> Terms:
    """Count a convolution; the first `window` axes of its kernel are summed."""
    return _count(op, op.outputs[0].shape), _count(op, op.inputs[1].shape[:window])


def _input_gradient(op: tf.Operation, window: int) -> Terms:
    """Count the gradient with respect to the input of a convolution, as `_convolution`."""
    return _count(op, op.inputs[2].shape), _count(op, op.inputs[1].shape[:window])


def _kernel_gradient(op: tf.Operation, window: int) -> Terms:
    """Count the gradient with respect to the kernel of a convolution, as `_convolution`."""
    return _count(op, op.inputs[2].shape), _count(op, op.outputs[0].shape[:window])


def _matrix_product(op: tf.Operation, transposed: str) -> Terms:
    """Count a product of matrices; an attribute says whether the first one is transposed."""
    summed = -2 if op.get_attr(transposed) else -1
    return _count(op, op.outputs[0].shape), op.inputs[0].shape[summed]


PRODUCTS: Mapping[str, Callable[[tf.Operation], Terms]] = {
    "Conv2D": partial(_convolution, window=3),
    "Conv2DBackpropInput": partial(_input_gradient, window=3),
    "Conv2DBackpropFilter": partial(_kernel_gradient, window=3),
    "DepthwiseConv2dNative": partial(_convolution, window=2),
    "DepthwiseConv2dNativeBackpropInput": partial(_input_gradient, window=2),
    "DepthwiseConv2dNativeBackpropFilter": partial(_kernel_gradient, window=2),
    "MatMul": partial(_matrix_product, transposed="transpose_a"),
    "BatchMatMulV2": partial(_matrix_product, transposed="adj_x"),
}
"""Type of operation to the function that counts it."""
