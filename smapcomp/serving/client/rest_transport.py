"""Calls to a server over REST, with the standard library alone."""

import base64
import binascii
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np

from smapcomp.errors import (
    ServerError,
    ServerModelError,
    ServerReplyError,
    ServerUnavailableError,
)
from smapcomp.serving.client.retries import call_with_retries, timeout_error
from smapcomp.serving.client.server_options import ServerOptions
from smapcomp.serving.contract import SIGNATURE_OUTPUTS

_UNAVAILABLE = (502, 503)  # HTTP status codes
_MAX_DETAILS = 300  # characters of a server's message that an error repeats


class RestTransport:
    """Transport of calls over REST.

    Args:
        options: Address of the server, and options of the calls.

    Attributes:
        options: The argument.
    """

    def __init__(self, options: ServerOptions):
        self.options = options
        version = "" if options.version is None else f"/versions/{options.version}"
        root = f"{options.scheme}://{options.target}"
        self._url = f"{root}/v1/models/{options.model}{version}:predict"
        handlers = []
        if options.uses_tls:
            context = ssl.create_default_context(cafile=options.ca)
            if options.cert:
                context.load_cert_chain(options.cert, options.key)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Call a signature in `contract.SIGNATURE_OUTPUTS`, as `GrpcTransport.call` does."""
        columns = {name: _to_json(name, array) for name, array in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        limit = self.options.max_message_bytes
        if len(body) > limit:
            raise _size_error(self.options, f"the request has {len(body)}")
        reply = call_with_retries(lambda seconds: self._post(body, seconds), self.options)
        return self._to_arrays(reply, SIGNATURE_OUTPUTS[signature])

    def close(self) -> None:
        """Do nothing, since each call has its own connection."""

    def _post(self, body: bytes, seconds: float) -> bytes:
        options = self.options
        request = urllib.request.Request(
            self._url, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with self._opener.open(request, timeout=seconds) as response:
                reply = response.read(options.max_message_bytes + 1)
        except urllib.error.HTTPError as error:
            raise _to_server_error(error, options) from error
        except TimeoutError as error:
            raise timeout_error(options) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise timeout_error(options) from error
            details = _describe_reason(reason)
            raise ServerUnavailableError(
                f"{options.address}: the server is unavailable: {details}"
            ) from error
        if len(reply) > options.max_message_bytes:
            raise _size_error(options, "the reply has more")
        return reply

    def _to_arrays(self, reply: bytes, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        try:
            outputs = json.loads(reply)["outputs"]
            # A single output comes without its name.
            columns = outputs if len(names) > 1 else {names[0]: outputs}
            return {name: _from_json(columns[name]) for name in names}
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise ServerReplyError(
                f"{self.options.address}: unexpected reply: {error!r}"
            ) from error


def _to_json(name: str, array: np.ndarray) -> list:
    if array.dtype != object:
        return array.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(value).decode()} for value in array]
    return [value.decode() for value in array]


def _from_json(values: list[Any]) -> np.ndarray:
    found = [
        base64.b64decode(value["b64"], validate=True) if isinstance(value, dict) else value
        for value in values
    ]
    if not any(isinstance(value, (bytes, str)) for value in found):
        return np.array(found)
    array = np.empty(len(found), object)
    array[:] = [value.encode() if isinstance(value, str) else value for value in found]
    return array


def _describe_reason(reason: object) -> str:
    is_not_http = isinstance(reason, http.client.BadStatusLine)
    if is_not_http and not isinstance(reason, http.client.RemoteDisconnected):
        return "the answer is not HTTP"
    return " ".join(str(reason).split())


def _size_error(options: ServerOptions, what: str) -> ServerReplyError:
    return ServerReplyError(
        f"{options.address}: a message is longer than {options.max_message_bytes} bytes, "
        f"the limit: {what}"
    )


def _to_server_error(error: urllib.error.HTTPError, options: ServerOptions) -> ServerError:
    text = error.read(1 << 16).decode("utf-8", "replace")
    try:
        text = str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        text = text or error.reason
    details = " ".join(text.split())[:_MAX_DETAILS]
    address = options.address
    if error.code in _UNAVAILABLE:
        return ServerUnavailableError(f"{address}: the server is unavailable: {details}")
    if error.code == 504:
        return timeout_error(options)
    if error.code == 404:
        return ServerModelError(f"{address}: has no {options.model_label}: {details}")
    return ServerReplyError(f"{address}: refused the call ({error.code}): {details}")
