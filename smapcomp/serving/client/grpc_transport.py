"""Calls to a server over gRPC."""

from collections.abc import Mapping

import grpc
import numpy as np

from smapcomp.errors import (
    ServerError,
    ServerModelError,
    ServerReplyError,
    ServerUnavailableError,
)
from smapcomp.serving.client.retries import call_with_retries, timeout_error
from smapcomp.serving.client.server_options import ServerOptions
from smapcomp.serving.messages import (
    PredictRequest,
    PredictResponse,
    make_predict_request,
    to_arrays,
)

_METHOD = "/tensorflow.serving.PredictionService/Predict"


class GrpcTransport:
    """Transport of calls over gRPC.

    Args:
        options: Address of the server, and options of the calls.

    Attributes:
        options: The argument.
    """

    def __init__(self, options: ServerOptions):
        self.options = options
        limits = [
            ("grpc.max_send_message_length", options.max_message_bytes),
            ("grpc.max_receive_message_length", options.max_message_bytes),
            # `call_with_retries` repeats calls.
            ("grpc.enable_retries", 0),
        ]
        if options.uses_tls:
            self._channel = grpc.secure_channel(options.target, _credentials(options), limits)
        else:
            self._channel = grpc.insecure_channel(options.target, limits)
        self._predict = self._channel.unary_unary(
            _METHOD,
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Call a signature and return its outputs.

        Args:
            signature: Name of the signature.
            inputs: Arrays as `messages.make_predict_request` takes them.

        Raises:
            ServerError: The call failed; each cause has a subclass.
        """
        options = self.options
        request = make_predict_request(options.model, options.version, signature, inputs)

        def once(seconds: float):
            try:
                return self._predict(request, timeout=seconds)
            except grpc.RpcError as error:
                raise _to_server_error(error, options) from error

        return to_arrays(call_with_retries(once, options).outputs)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def _credentials(options: ServerOptions) -> grpc.ChannelCredentials:
    parts: list[bytes | None] = []
    for path in (options.ca, options.key, options.cert):
        if path is None:
            parts.append(None)
            continue
        with open(path, "rb") as file:
            parts.append(file.read())
    return grpc.ssl_channel_credentials(*parts)


def _to_server_error(error: grpc.RpcError, options: ServerOptions) -> ServerError:
    code, details = error.code(), " ".join((error.details() or "").split())
    address, codes = options.address, grpc.StatusCode
    if code == codes.UNAVAILABLE:
        return ServerUnavailableError(f"{address}: the server is unavailable: {details}")
    if code == codes.DEADLINE_EXCEEDED:
        return timeout_error(options)
    if code == codes.NOT_FOUND:
        return ServerModelError(f"{address}: has no {options.model_label}: {details}")
    if code == codes.RESOURCE_EXHAUSTED and "larger than max" in details:
        return ServerReplyError(
            f"{address}: a message is longer than {options.max_message_bytes} bytes, "
            f"the limit: {details}"
        )
    if code == codes.UNIMPLEMENTED:
        return ServerModelError(f"{address}: is not a TensorFlow Serving server: {details}")
    return ServerReplyError(f"{address}: refused the call ({code.name}): {details}")
