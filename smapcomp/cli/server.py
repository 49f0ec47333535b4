"""Flags of a server of the networks, which compressing and decompressing share."""

from absl import flags

from smapcomp.cli.commands import Flags
from smapcomp.serving.contract import MODEL_NAME
from smapcomp.serving.server_options import (
    DEFAULT_MESSAGE_BYTES,
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT,
    ServerOptions,
)


def define_server(define: Flags) -> None:
    """Flags of where the networks run."""
    define.group("Networks on a server")
    define.string(
        "server",
        "TensorFlow Serving that runs the networks: HOST:PORT or grpcs://HOST:PORT for gRPC, an "
        "http:// or https:// URL for REST. Nothing of TensorFlow is loaded here then.",
    )
    define.string("server_model", f"name of the model there; {MODEL_NAME} by default.")
    define.integer("server_version", None, "version of the model; by default the latest.", 1)
    seconds = f"seconds that a call may take; {DEFAULT_TIMEOUT:g} by default."
    define.number("server_timeout", seconds, 0.001)
    define.integer("server_retries", DEFAULT_RETRIES, "repetitions while it is unavailable.", 0)
    define.integer("server_max_bytes", DEFAULT_MESSAGE_BYTES, "largest message.", 1)
    define.string("server_ca", "certificate authority of the server, in PEM: over TLS.")
    define.string("server_cert", "this client's certificate, in PEM.")
    define.string("server_key", "and its key.")


def connected(values: flags.FlagValues):
    """The `RemotePredictor` of the server that the flags name, None without one.

    Raises:
        SmapcompError: The flags don't go together, or the server or its model is at fault.
    """
    if values.server is None:
        return None
    from smapcomp.serving.remote_predictor import connect

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
