"""Address of a server, and options of the calls."""

import os
import re
from dataclasses import dataclass

from smapcomp.errors import SmapcompError
from smapcomp.serving import contract

DEFAULT_TIMEOUT = 120.0
"""Seconds for one call. A window of two megapixels takes about ten seconds on two cores."""

DEFAULT_RETRIES = 5
"""Repetitions of a call while the server is unavailable."""

DEFAULT_MESSAGE_BYTES = 64 << 20
"""Largest message. The unrounded values of the largest window take 24 MiB."""

_REST = ("http", "https")
_GRPC = ("grpc", "grpcs")


@dataclass(frozen=True)
class ServerOptions:
    """Address of a server, and options of the calls.

    Attributes:
        address: HOST:PORT or grpc://HOST:PORT for gRPC, grpcs://HOST:PORT for gRPC over TLS, or the
            http:// or https:// URL of the server's root for REST.
        model: Name of the model on the server.
        version: Version of the model; `None` for the latest.
        timeout: Seconds for one call, repetitions included.
        retries: How often a call is repeated while the server is unavailable.
        max_message_bytes: Largest request or reply in bytes.
        ca: PEM file of the certificate authority that signed the server's certificate; HOST:PORT
            then uses TLS. `None` for the authorities of the system.
        cert: PEM file of the client's certificate, if the server requires one.
        key: PEM file of the key of the client's certificate.

    Raises:
        SmapcompError: The address has another form, a number is out of range, a file does not
            exist, or the options contradict each other.
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

    def __post_init__(self) -> None:
        host_and_port = r"[^/\s]+:\d{1,5}"
        allowed = r"[^/\s]+(/\S*)?" if self.uses_rest else host_and_port
        if self.scheme not in (*_REST, *_GRPC) or not re.fullmatch(allowed, self.target):
            raise SmapcompError(
                f"server {self.address!r}; allowed: HOST:PORT or grpcs://HOST:PORT for gRPC, "
                "http://HOST:PORT or https://HOST:PORT for REST"
            )
        for name, low in (("timeout", 0), ("retries", -1), ("max_message_bytes", 0)):
            if getattr(self, name) <= low:
                raise SmapcompError(f"{name} {getattr(self, name)!r}; allowed: more than {low}")
        if (self.cert is None) != (self.key is None):
            name = "certificate" if self.key is None else "key"
            raise SmapcompError(
                f"a client has a certificate and a key or neither; got only the {name} "
                f"{self.cert or self.key!r}"
            )
        for path in (self.ca, self.cert, self.key):
            if path is not None and not os.path.isfile(path):
                raise SmapcompError(f"{path}: no such file")
        if not self.uses_tls and (self.ca or self.cert):
            raise SmapcompError(
                f"server {self.address!r} with certificates; allowed with https://, grpcs:// and "
                "HOST:PORT"
            )

    @property
    def scheme(self) -> str:
        """Scheme of the address, "grpc" by default."""
        return self.address.split("://")[0] if "://" in self.address else "grpc"

    @property
    def target(self) -> str:
        """Address without the scheme and without a slash at its end."""
        return self.address.split("://")[-1].rstrip("/")

    @property
    def uses_rest(self) -> bool:
        """Whether the server is called over REST."""
        return self.scheme in _REST

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        has_certificates = self.ca is not None or self.cert is not None
        return self.scheme in ("https", "grpcs") or (self.scheme == "grpc" and has_certificates)

    @property
    def model_label(self) -> str:
        """Name and version of the model, for messages."""
        version = "" if self.version is None else f" version {self.version}"
        return f"model {self.model!r}{version}"
