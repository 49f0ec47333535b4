"""Flags that select a server to run the networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absl import flags

from smapcomp.cli.command import SERVER, Flags, UsageError
from smapcomp.codec.options import local_network_options
from smapcomp.serving.client.server_options import (
    DEFAULT_MESSAGE_BYTES,
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT,
    ServerOptions,
)
from smapcomp.serving.contract import MODEL_NAME

if TYPE_CHECKING:
    from smapcomp.serving.client.remote_predictor import RemotePredictor


def define_server(define: Flags) -> None:
    """Define the flags of the server."""
    define.string(
        SERVER,
        "server",
        "TensorFlow Serving server that runs the networks: HOST:PORT or grpcs://HOST:PORT for "
        "gRPC, an http:// or https:// URL for REST. This process then loads no networks.",
        placeholder="ADDRESS",
    )
    define.string(
        SERVER,
        "server_model",
        f"name of the model on the server; {MODEL_NAME} by default.",
        placeholder="NAME",
    )
    define.integer(
        SERVER, "server_version", None, "version of the model; the latest by default.", low=1
    )
    define.number(
        SERVER,
        "server_timeout",
        f"seconds that a call may take; {DEFAULT_TIMEOUT:g} by default.",
        low=0.001,
    )
    define.integer(
        SERVER,
        "server_retries",
        DEFAULT_RETRIES,
        "how often a call is repeated while the server is unavailable.",
        low=0,
    )
    define.integer(
        SERVER, "server_max_bytes", DEFAULT_MESSAGE_BYTES, "largest message in bytes.", low=1
    )
    for name, text in (
        ("server_ca", "certificate authority of the server's certificate, in PEM; implies TLS."),
        ("server_cert", "certificate of this client, in PEM."),
        ("server_key", "key of this client's certificate, in PEM."),
    ):
        define.string(SERVER, name, text, placeholder="FILE")


def connect_server(values: flags.FlagValues, options: Mapping[str, Any]) -> RemotePredictor | None:
    """Return the predictor of the server that the flags name; `None` if they name none.

    Args:
        values: Values of the flags of `define_server`.
        options: Options of the codec, which must not choose networks of this process too.

    Raises:
        UsageError: They do.
        SmapcompError: The flags contradict each other, or the server or its model is at fault.
    """
    if values.server is None:
        return None
    for name in local_network_options(options):
        raise UsageError(f"--server and --{name} together; the server has its own networks")
    # gRPC and protobuf take time to load; only a server needs them.
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
