"""Flags of a server that runs the networks."""

from absl import flags

from smapcomp.cli.command import Flags
from smapcomp.serving.client.server_options import (
    DEFAULT_MESSAGE_BYTES,
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT,
    ServerOptions,
)
from smapcomp.serving.contract import MODEL_NAME

_GROUP = "Networks on a server"


def define_server(define: Flags) -> None:
    """Define the flags of where the networks run."""
    define.string(
        _GROUP,
        "server",
        "TensorFlow Serving that runs the networks: HOST:PORT or grpcs://HOST:PORT for gRPC, an "
        "http:// or https:// URL for REST. No networks are loaded by this process then.",
    )
    define.string(_GROUP, "server_model", f"name of the model there; {MODEL_NAME} by default.")
    define.integer(
        _GROUP, "server_version", None, "version of the model; by default the latest.", 1
    )
    seconds = f"seconds that a call may take; {DEFAULT_TIMEOUT:g} by default."
    define.number(_GROUP, "server_timeout", seconds, 0.001)
    define.integer(
        _GROUP, "server_retries", DEFAULT_RETRIES, "repetitions while it is unavailable.", 0
    )
    define.integer(
        _GROUP, "server_max_bytes", DEFAULT_MESSAGE_BYTES, "largest message in bytes.", 1
    )
    define.string(_GROUP, "server_ca", "certificate authority of the server, in PEM; implies TLS.")
    define.string(_GROUP, "server_cert", "certificate of this client, in PEM.")
    define.string(_GROUP, "server_key", "key of that certificate, in PEM.")


def connect_server(values: flags.FlagValues):
    """Return a `RemotePredictor` of the server that the flags name; `None` without one.

    Raises:
        SmapcompError: The flags contradict each other, or the server or its model is at fault.
    """
    if values.server is None:
        return None
    # gRPC is not loaded without a server.
    from smapcomp.serving.client.remote_predictor import connect

    return connect(
        ServerOptions(
            values.server,
            model=values.server_model or MODEL_NAME,
            version=values.server_version,
            timeout=values.server_timeout or DEFAULT_TIMEOUT,
            retries=values.server_retries,
            max_message_bytes=values.server_max_bytes,
            ca=values.server_ca,
            cert=values.server_cert,
            key=values.server_key,
        )
    )
