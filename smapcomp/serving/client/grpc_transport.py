"""Calls of a model over gRPC."""

from collections.abc import Mapping

import grpc
import numpy as np

from smapcomp.errors import (
    ServerError,
    ServerModelError,
    ServerReplyError,
    ServerUnavailableError,
)
from smapcomp.serving.client.retries import too_late, with_retries
from smapcomp.serving.client.server_options import ServerOptions
from smapcomp.serving.messages import (
    PredictRequest,
    PredictResponse,
    arrays_of,
    predict_request,
)

_METHOD = "/tensorflow.serving.PredictionService/Predict"


class GrpcTransport:
    """A channel to a server.

    Args:
        options: Of a server that is called over gRPC.
    """

    def __init__(self, options: ServerOptions):
        self.options = options
        limits = [
            ("grpc.max_send_message_length", options.max_message_bytes),
            ("grpc.max_receive_message_length", options.max_message_bytes),
            # Calls are repeated by `with_retries`.
            ("grpc.enable_retries", 0),
        ]
        if options.tls:
            self._channel = grpc.secure_channel(options.target, _credentials(options), limits)
        else:
            self._channel = grpc.insecure_channel(options.target, limits)
        self._predict = self._channel.unary_unary(
            _METHOD,
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs of a signature.

        Args:
            signature: Its name.
            inputs: As `messages.predict_request` takes them.

        Raises:
            ServerError: One subclass for each cause.
        """
        options = self.options
        request = predict_request(options.model, options.version, signature, inputs)

        def once(seconds: float):
            try:
                return self._predict(request, timeout=seconds)
            except grpc.RpcError as error:
                raise _understood(error, options) from error

        return arrays_of(with_retries(once, options).outputs)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()


def _credentials(options: ServerOptions) -> grpc.ChannelCredentials:
    parts = []
    for path in (options.ca, options.key, options.cert):
        if path is None:
            parts.append(None)
            continue
        with open(path, "rb") as file:
            parts.append(file.read())
    return grpc.ssl_channel_credentials(*parts)


def _understood(error: grpc.RpcError, options: ServerOptions) -> ServerError:
    """The error as one of ours."""
    code, details = error.code(), " ".join((error.details() or "").split())
    address, codes = options.address, grpc.StatusCode
    if code == codes.UNAVAILABLE:
        return ServerUnavailableError(f"{address}: no server takes the call: {details}")
    if code == codes.DEADLINE_EXCEEDED:
        return too_late(options)
    if code == codes.NOT_FOUND:
        return ServerModelError(f"{address}: has no {options.model_in_words}: {details}")
    if code == codes.RESOURCE_EXHAUSTED and "larger than max" in details:
        return ServerReplyError(
            f"{address}: a message is longer than {options.max_message_bytes} bytes, "
            f"the limit: {details}"
        )
    if code == codes.UNIMPLEMENTED:
        return ServerModelError(f"{address}: is no TensorFlow Serving server: {details}")
    return ServerReplyError(f"{address}: refused the call ({code.name}): {details}")
