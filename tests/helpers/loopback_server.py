"""Serve exported models on this machine as TensorFlow Serving does, over gRPC and REST.

    python -m tests.helpers.loopback_server --models=models/smapcomp --port=8500 --rest_port=8501

This is for tests and measurements without `tensorflow_model_server`. It supports what the client
and docs/serving.md use: Predict, REST's predict in columns and in rows, versions, warm-up records
and batching. Models are loaded by `tf.saved_model.load`.
"""

import base64
import json
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from absl import app, flags
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

FLAGS = flags.FLAGS


class CallError(Exception):
    """Call that the server answers with an error, a gRPC status code and a message."""

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code


class Models:
    """All versions of one model.

    Args:
        folder: Folder of the model; each folder in it whose name is a number is a version.
        runner: Class that runs a signature, `DirectRunner` (the default) or `BatchingRunner`.
    """

    def __init__(self, folder: Path, runner: Callable | None = None):
        self.name = folder.name
        self.folder = folder
        self._versions = {}
        for path in folder.iterdir():
            if path.name.isdigit():
                signatures = tf.saved_model.load(str(path)).signatures
                self._versions[int(path.name)] = {
                    name: (function, (runner or DirectRunner)(function))
                    for name, function in signatures.items()
                }

    def function(self, name: str, version: int | None, signature: str):
        """Return the concrete function of a signature and its runner."""
        if name != self.name:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise CallError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}")
        version = max(self._versions) if version is None else version
        if version not in self._versions:
            raise CallError(
                grpc.StatusCode.NOT_FOUND,
                f"Servable not found for request: Specific({name}, {version})",
            )
        signature = signature or "serving_default"
        if signature not in self._versions[version]:
            raise CallError(
                grpc.StatusCode.INVALID_ARGUMENT, f'Serving signature key "{signature}" not found.'
            )
        return self._versions[version][signature]

    def run(self, name, version, signature, inputs: dict) -> dict[str, np.ndarray]:
        """Run a signature and return its outputs."""
        function, run = self.function(name, version, signature)
        specs = function.structured_input_signature[1]
        if set(inputs) != set(specs):
            raise CallError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input size does not match signature: {len(inputs)}!={len(specs)}",
            )
        try:
            tensors = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
            return run(tensors)
        except (tf.errors.InvalidArgumentError, ValueError, TypeError) as error:
            raise CallError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error

    def respond(self, request) -> predict_pb2.PredictResponse:
        """Return the response to a PredictRequest.

        Raises:
            CallError: There is no such model or signature, or an input is wrong.
        """
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        outputs = self.run(spec.name, version, spec.signature_name, inputs)
        response = predict_pb2.PredictResponse()
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    def replay_warmup(self) -> int:
        """Send the warm-up records to every version and return their number."""
        count = 0
        for version in self._versions:
            path = self.folder / str(version) / "assets.extra" / "tf_serving_warmup_requests"
            for record in tf.data.TFRecordDataset(str(path)):
                log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
                self.respond(log.predict_log.request)
                count += 1
        return count


class DirectRunner:
    """Runner that runs each request by itself."""

    def __init__(self, function):
        self._function = function

    def __call__(self, inputs: dict) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in self._function(**inputs).items()}


class BatchingRunner:
    """Runner that joins waiting requests into a batch along the first axis.

    The defaults are those of `serving/batching.config`.

    Args:
        function: Concrete function of the signature.
        max_batch_size: Largest number of pictures in a batch; a larger request is refused.
        timeout: Seconds that the first request of a batch waits for others.

    Attributes:
        batches: Number of pictures in each batch so far.
    """

    def __init__(self, function, max_batch_size: int = 4, timeout: float = 0.001):
        self._direct = DirectRunner(function)
        self._max = max_batch_size
        self._timeout = timeout
        self._queue: queue.Queue = queue.Queue()
        self._held: tuple | None = None
        self.batches: list[int] = []
        threading.Thread(target=self._work, daemon=True).start()

    def __call__(self, inputs: dict) -> dict[str, np.ndarray]:
        size = int(next(iter(inputs.values())).shape[0])
        if size > self._max:
            raise ValueError(
                f"Task size {size} is larger than maximum input batch size {self._max}"
            )
        result: futures.Future = futures.Future()
        self._queue.put((inputs, result))
        return result.result()

    def _work(self) -> None:
        while True:
            group = self._group()
            sizes = [int(next(iter(inputs.values())).shape[0]) for inputs, _ in group]
            self.batches.append(sum(sizes))
            try:
                names = group[0][0]
                joined = {n: tf.concat([inputs[n] for inputs, _ in group], 0) for n in names}
                outputs = self._direct(joined)
                ends = np.cumsum(sizes)[:-1]
                parts = {name: np.split(value, ends) for name, value in outputs.items()}
                for index, (_, result) in enumerate(group):
                    result.set_result({name: parts[name][index] for name in parts})
            except Exception as error:
                for _, result in group:
                    result.set_exception(error)

    def _group(self) -> list[tuple]:
        group = [self._held or self._queue.get()]
        self._held = None
        size = int(next(iter(group[0][0].values())).shape[0])
        end = time.monotonic() + self._timeout
        while size < self._max:
            try:
                entry = self._queue.get(timeout=max(end - time.monotonic(), 0.0001))
            except queue.Empty:
                break
            size += int(next(iter(entry[0].values())).shape[0])
            if size > self._max:
                self._held = entry
                break
            group.append(entry)
        return group


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """PredictionService whose Predict calls a function."""

    def __init__(self, predict: Callable):
        self._predict = predict

    def Predict(self, request, context):
        try:
            return self._predict(request)
        except CallError as error:
            context.abort(error.code, str(error))


@contextmanager
def grpc_server(predict: Callable, port: int, credentials=None, workers: int = 8) -> Iterator[str]:
    """Serve gRPC on this machine until the `with` block ends.

    Args:
        predict: Takes a PredictRequest and returns the response, or raises `CallError`.
        port: A free port.
        credentials: Credentials of gRPC for TLS.
        workers: Number of threads.

    Yields:
        HOST:PORT.
    """
    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(workers), options=limits)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(predict), server)
    address = f"localhost:{port}"
    if credentials:
        server.add_secure_port(address, credentials)
    else:
        server.add_insecure_port(address)
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()


_STATUS = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAVAILABLE: 503,
}
_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:predict")


@contextmanager
def rest_server(models: Models, port: int, context=None) -> Iterator[str]:
    """Serve REST on this machine until the `with` block ends.

    Args:
        models: Models to serve.
        port: A free port.
        context: `ssl.SSLContext` for TLS.

    Yields:
        URL of the root.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                status, reply = 200, _rest_answer(models, self.path, body)
            except CallError as error:
                status, reply = _STATUS[error.code], {"error": str(error)}
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", port), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{'https' if context else 'http'}://localhost:{port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _rest_answer(models: Models, path: str, body: bytes) -> dict:
    match = _PATH.fullmatch(path)
    if not match:
        raise CallError(grpc.StatusCode.NOT_FOUND, "Malformed request: POST " + path)
    request = json.loads(body)
    name, version = match[1], int(match[2]) if match[2] else None
    signature = request.get("signature_name", "serving_default")
    function, _ = models.function(name, version, signature)
    specs = function.structured_input_signature[1]
    rows = request.get("instances")
    columns = request.get("inputs")
    if rows is not None:
        # A single input may come without its name.
        rows = [row if isinstance(row, dict) and "b64" not in row else {None: row} for row in rows]
        columns = {key: [row[key] for row in rows] for key in rows[0]}
    if not isinstance(columns, dict):
        columns = {None: columns}
    if set(columns) == {None}:
        columns = {next(iter(specs)): columns[None]}
    inputs = {key: _from_json(values, specs.get(key)) for key, values in columns.items()}
    outputs = models.run(name, version, signature, inputs)
    columns = {key: _to_json(key, value) for key, value in outputs.items()}
    if rows is None:
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    count = len(next(iter(columns.values())))
    return {"predictions": [{key: columns[key][i] for key in columns} for i in range(count)]}


def _from_json(values: list, spec):
    def decoded(value):
        if isinstance(value, dict) and set(value) == {"b64"}:
            return base64.b64decode(value["b64"])
        return value

    if spec is None or spec.dtype != tf.string:
        return np.array(values)
    array = np.empty(len(values), object)
    array[:] = [decoded(value) for value in values]
    return array


def _to_json(name: str, value: np.ndarray) -> list:
    if value.dtype != object:
        return value.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(entry).decode()} for entry in value]
    return [entry.decode() for entry in value]


def main(_) -> None:
    models = Models(Path(FLAGS.models), BatchingRunner if FLAGS.batching else None)
    print(f"{models.replay_warmup()} warm-up records")
    with (
        grpc_server(models.respond, FLAGS.port) as address,
        rest_server(models, FLAGS.rest_port) as url,
    ):
        print(f"serving {models.name} on {address} and {url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    flags.DEFINE_string("models", None, "Folder of the model's versions.", required=True)
    flags.DEFINE_integer("port", 8500, "Port of gRPC.")
    flags.DEFINE_integer("rest_port", 8501, "Port of REST.")
    flags.DEFINE_boolean("batching", False, "Join waiting requests into batches.")
    app.run(main)
