"""The exceptions of the package.

Everything that a caller can cause or meet is a `SmapcompError`, which is a `ValueError`. What is
wrong with a stream is a `StreamError`, with one subclass for each cause. Messages are one line: the
value met, then what is allowed.
"""


class SmapcompError(ValueError):
    """Base of all errors that smapcomp raises on purpose."""


class StreamError(SmapcompError):
    """A byte string that cannot be decoded."""


class NotAStreamError(StreamError):
    """The bytes do not start with the magic of smapcomp."""


class UnsupportedVersionError(StreamError):
    """The stream is of a format version that this release does not know."""


class TruncatedError(StreamError):
    """The bytes end before the stream does."""


class TrailingBytesError(StreamError):
    """Bytes follow the end of the stream."""


class ChecksumError(StreamError):
    """The CRC-32 of the header or of a layer does not match: the bytes were damaged."""


class MalformedHeaderError(StreamError):
    """A field of the header has a value, or fields a combination, that is not allowed."""


class LimitError(StreamError):
    """The picture is larger than the caller's limit or than the format can carry."""


class PayloadError(StreamError):
    """A layer's payload is not what its coder writes for a picture of the header's size."""


class MissingCoderError(StreamError):
    """The layer needs an external program that is not installed."""


class ModelMismatchError(StreamError):
    """The stream was made with other weights than those loaded."""


class DigestMismatchError(StreamError):
    """The decoder computed another label map or another prediction than the encoder did.

    The weights are the same; the device or a library version rounds differently.
    """


class ServerError(SmapcompError):
    """A server of the networks, or what it serves, is at fault."""


class ServerUnavailableError(ServerError):
    """There is no server at the address, or it does not take requests."""


class ServerTimeoutError(ServerError):
    """The server did not answer within the deadline."""


class ServerModelError(ServerError):
    """The server has no such model or version, or it is not the one that is wanted."""


class ServerReplyError(ServerError):
    """The reply is larger than allowed or not what the model gives, or the request was refused."""
