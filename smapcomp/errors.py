"""Exceptions of the package.

Every error that a caller can cause or can be expected to handle is a `SmapcompError`, which is a
`ValueError`. An error of a stream is a `StreamError`, with a subclass for each cause. A message is
one line with the offending value and the allowed values.
"""


def one_line(error: BaseException | str) -> str:
    """Return a message in one line; the name of the exception's class if it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


def printable(name: str) -> str:
    r"""Return a file's name with escapes for line breaks and other characters that do not print.

    Example:
        >>> printable("a\nb.png")
        'a\\nb.png'
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )


class SmapcompError(ValueError):
    """Base class of the errors that smapcomp raises on purpose."""


class StreamError(SmapcompError):
    """The bytes cannot be decoded."""


class NotAStreamError(StreamError):
    """The bytes do not start with the magic number of smapcomp."""


class UnsupportedVersionError(StreamError):
    """This release does not know the format version of the stream."""


class TruncatedError(StreamError):
    """The bytes end before the stream does."""


class TrailingBytesError(StreamError):
    """There are bytes after the end of the stream."""


class ChecksumError(StreamError):
    """The CRC-32 of the header or of a layer does not match: the bytes were damaged."""


class MalformedHeaderError(StreamError):
    """A field of the header, or a combination of fields, has a value that is not allowed."""


class LimitError(StreamError):
    """The picture or the decoding time exceeds a limit of the caller or of the format."""


class PayloadError(StreamError):
    """The payload of a layer does not decode to a picture of the size in the header."""


class MissingCoderError(StreamError):
    """The layer needs a coder that is not installed."""


class ModelMismatchError(StreamError):
    """The stream was made with other weights than the loaded ones."""


class DigestMismatchError(StreamError):
    """The decoder computed another prediction than the encoder.

    The weights are the same. If the networks are not exact, the device or the version of a library
    rounds differently.
    """


class ServerError(SmapcompError):
    """The server that runs the networks failed, or its model is unsuitable."""


class ServerUnavailableError(ServerError):
    """There is no server at the address, or it does not accept requests."""


class ServerTimeoutError(ServerError):
    """The server did not answer before the deadline."""


class ServerModelError(ServerError):
    """The server has no such model or version, or the model differs from the expected one."""


class ServerReplyError(ServerError):
    """The reply is too large or not what the model returns, or the server refused the request."""
