"""Messages of TensorFlow Serving's Predict call, without TensorFlow.

The generated classes of `tensorflow-serving-api` import TensorFlow, which takes seconds. The
classes of this module have fields of the same numbers and types, so their encoding is the same.
Fields that neither the client nor the warm-up records use are left out.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from smapcomp.errors import ServerReplyError

_PACKAGE = "smapcomp.serving"

# Numbers of the dtypes in tensorflow/core/framework/types.proto.
_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    7: np.dtype(object),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
}
_NUMBERS = {dtype: number for number, dtype in _DTYPES.items()}
_STRING = 7

# Fields that hold the values of small tensors, by the number of the dtype.
_LISTS = {1: "float_val", 2: "double_val", 3: "int_val", 4: "int_val", 9: "int64_val"}
_LISTS |= {7: "string_val", 10: "bool_val"}

# Fields of each message: name, number, type or message, and whether the field is repeated.
_FIELDS = {
    "Dim": [("size", 1, "int64", False)],
    "TensorShape": [("dim", 2, "Dim", True), ("unknown_rank", 3, "bool", False)],
    "Tensor": [
        ("dtype", 1, "int32", False),
        ("tensor_shape", 2, "TensorShape", False),
        ("tensor_content", 4, "bytes", False),
        ("float_val", 5, "float", True),
        ("double_val", 6, "double", True),
        ("int_val", 7, "int32", True),
        ("string_val", 8, "bytes", True),
        ("int64_val", 10, "int64", True),
        ("bool_val", 11, "bool", True),
    ],
    "Version": [("value", 1, "int64", False)],
    "ModelSpec": [
        ("name", 1, "string", False),
        ("version", 2, "Version", False),
        ("signature_name", 3, "string", False),
    ],
    # A map is encoded as a repeated message of key and value.
    "NamedTensor": [("key", 1, "string", False), ("value", 2, "Tensor", False)],
    "PredictRequest": [
        ("model_spec", 1, "ModelSpec", False),
        ("inputs", 2, "NamedTensor", True),
    ],
    "PredictResponse": [
        ("outputs", 1, "NamedTensor", True),
        ("model_spec", 2, "ModelSpec", False),
    ],
    "PredictLog": [("request", 1, "PredictRequest", False)],
    "PredictionLog": [("predict_log", 6, "PredictLog", False)],
}


def _message_classes() -> dict[str, Any]:
    """Return the class of each message in `_FIELDS`."""
    file = descriptor_pb2.FileDescriptorProto(
        name="smapcomp/serving.proto", package=_PACKAGE, syntax="proto3"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            entry = message.field.add(name=field, number=number, label=label)
            if kind in _FIELDS:
                entry.type = kinds.TYPE_MESSAGE
                entry.type_name = f".{_PACKAGE}.{kind}"
            else:
                entry.type = getattr(kinds, f"TYPE_{kind.upper()}")
    # The default pool may have TensorFlow's messages.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = message_factory.GetMessageClassesForFiles([file.name], pool)
    return {name.rsplit(".", 1)[1]: value for name, value in found.items()}


_CLASSES = _message_classes()
Tensor = _CLASSES["Tensor"]
PredictRequest = _CLASSES["PredictRequest"]
PredictResponse = _CLASSES["PredictResponse"]
PredictionLog = _CLASSES["PredictionLog"]


def bytes_array(*values: bytes) -> np.ndarray:
    """Return an array of bytes objects, of dtype object."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def make_predict_request(
    model: str, version: int | None, signature: str, inputs: Mapping[str, np.ndarray]
):
    """Return a `PredictRequest`.

    Args:
        model: Name of the model.
        version: Version of the model; `None` for the latest.
        signature: Name of the signature.
        inputs: Arrays of uint8, int32, int64, float32, float64, bool, or of bytes (dtype object).
    """
    request = PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for name, array in inputs.items():
        request.inputs.add(key=name, value=_to_tensor(array))
    return request


def make_prediction_log(request):
    """Return a `PredictionLog` of a request, the record of a warm-up file."""
    log = PredictionLog()
    log.predict_log.request.CopyFrom(request)
    return log


def to_arrays(entries) -> dict[str, np.ndarray]:
    """Convert a request's inputs or a response's outputs to arrays; strings become bytes objects.

    Raises:
        ServerReplyError: As in `to_array`.
    """
    return {entry.key: to_array(entry.value) for entry in entries}


def _to_tensor(array: np.ndarray):
    tensor = Tensor(dtype=_NUMBERS[array.dtype.newbyteorder("<")])
    for side in array.shape:
        tensor.tensor_shape.dim.add(size=side)
    if array.dtype == object:
        tensor.string_val.extend(array.ravel().tolist())
    else:
        tensor.tensor_content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return tensor


def to_array(tensor) -> np.ndarray:
    """Convert a `Tensor` message to an array.

    Raises:
        ServerReplyError: The number of values does not fit the shape, or the dtype is unknown.
    """
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise ServerReplyError(f"tensor of dtype {tensor.dtype}; allowed: {sorted(_DTYPES)}")
    if tensor.tensor_content and tensor.dtype != _STRING:
        values = np.frombuffer(tensor.tensor_content, dtype)
    else:
        values = np.empty(len(getattr(tensor, _LISTS[tensor.dtype])), dtype)
        values[:] = list(getattr(tensor, _LISTS[tensor.dtype]))
    size = int(np.prod(shape, dtype=np.int64))
    if values.size == 1 and size > 1:
        # TensorFlow may write the value of a constant tensor once.
        values = np.repeat(values, size)
    if values.size != size:
        raise ServerReplyError(f"tensor of {values.size} values; its shape is {shape}")
    return values.reshape(shape)
