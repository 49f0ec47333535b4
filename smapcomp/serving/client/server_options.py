"""Where a server is and how it is called."""

import os
import re
from dataclasses import dataclass

from smapcomp.errors import SmapcompError
from smapcomp.serving import contract

DEFAULT_TIMEOUT = 120.0
"""Seconds for one call, decided here: a window of two megapixels takes some ten on two cores."""

DEFAULT_RETRIES = 5

DEFAULT_MESSAGE_BYTES = 64 << 20
"""Decided here: the exact values of the largest window take 24 MiB."""

_REST = ("http", "https")
_GRPC = ("grpc", "grpcs")


@dataclass(frozen=True)
class ServerOptions:
    """A server and how to call it.

    Attributes:
        address: HOST:PORT or grpc://HOST:PORT for gRPC, grpcs://HOST:PORT for gRPC over TLS, an
            http:// or https:// URL of the server's root for REST.
        model: Name of the model on the server.
        version: Of the model; None for the latest.
        timeout: Seconds for one call, repetitions included.
        retries: How often a call is repeated while the server is unavailable.
        max_message_bytes: Largest request or reply.
        ca: File of the certificate authority that the server's certificate is held against, in
            PEM; with it HOST:PORT is over TLS. None for those of the system.
        cert, key: Files of the client's certificate and key in PEM, where the server wants one.

    Raises:
        SmapcompError: The address is none of these, a number is out of range, or a file is missing.
    """

    address: str
    model: str = contract.MODEL_NAME
    version: int | None = None
    timeout: float = DEFAULT_TIMEOUT
    retries: int = DEFAULT_RETRIES
    max_message_bytes: int = DEFAULT_MESSAGE_BYTES
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __post_init__(self):
        host_and_port = r"[^/\s]+:\d{1,5}"
        allowed = r"[^/\s]+(/\S*)?" if self.rest else host_and_port
        if self.scheme not in (*_REST, *_GRPC) or not re.fullmatch(allowed, self.target):
            raise SmapcompError(
                f"server {self.address!r}; allowed: HOST:PORT or grpcs://HOST:PORT for gRPC, "
                "http://HOST:PORT or https://HOST:PORT for REST"
            )
        for name, low in (("timeout", 0), ("retries", -1), ("max_message_bytes", 0)):
            if getattr(self, name) <= low:
                raise SmapcompError(f"{name} {getattr(self, name)!r}; allowed: more than {low}")
        if (self.cert is None) != (self.key is None):
            raise SmapcompError("a client's certificate and key are given together or not at all")
        for path in (self.ca, self.cert, self.key):
            if path is not None and not os.path.isfile(path):
                raise SmapcompError(f"{path}: no such file")
        if not self.tls and (self.ca or self.cert):
            raise SmapcompError(f"server {self.address!r} with certificates; https:// takes them")

    @property
    def scheme(self) -> str:
        """What stands before ://, "grpc" by default."""
        return self.address.split("://")[0] if "://" in self.address else "grpc"

    @property
    def target(self) -> str:
        """What stands behind it, without a slash at its end."""
        return self.address.split("://")[-1].rstrip("/")

    @property
    def rest(self) -> bool:
        """Whether the server is called over REST."""
        return self.scheme in _REST

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        plain = self.ca is None and self.cert is None
        return self.scheme in ("https", "grpcs") or (self.scheme == "grpc" and not plain)

    @property
    def model_in_words(self) -> str:
        """The model as messages name it."""
        version = "" if self.version is None else f" version {self.version}"
        return f"model {self.model!r}{version}"
