"""Files on any file system that Beam supports: a local folder, gs://, s3://, hdfs:// and others.

A file that is written appears whole or not at all: it is written under a temporary name in the same
folder and then renamed.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from smapcomp.errors import SmapcompError

_TEMPORARY_NAME = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")

# Characters of a name that its temporary name repeats. File systems allow names of up to 255.
_KEPT_CHARACTERS = 200


def join(folder: str, name: str) -> str:
    """Return the path of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def identity(path: str) -> str:
    """Return a text that is the same for all paths of one file, apart from links."""
    return path if "://" in path else os.path.abspath(path)


def shorten_name(path: str) -> str:
    """Return the path with its name cut to the part that temporary names repeat."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + name[:_KEPT_CHARACTERS]


def is_temporary_of(path: str, shortened: set[str]) -> bool:
    """Return whether a path is a temporary name of one of the paths.

    Args:
        path: The path.
        shortened: Results of `shorten_name`.
    """
    folder, slash, name = path.rpartition("/")
    match = _TEMPORARY_NAME.fullmatch(name)
    return match is not None and folder + slash + match[1] in shortened


def list_files(pattern: str) -> list[FileMetadata]:
    """Return the files that match a pattern in Beam's syntax.

    Raises:
        SmapcompError: No file system of that scheme is installed, or it cannot be listed.
    """
    # The local file system lists nothing for a pattern without a folder.
    is_bare_name = "/" not in pattern
    try:
        result = FileSystems.match([f"./{pattern}" if is_bare_name else pattern])[0]
    except (OSError, ValueError) as error:
        raise SmapcompError(f"{pattern}: {error}") from error
    for file in result.metadata_list:
        file.path = file.path.removeprefix("./") if is_bare_name else file.path
    return result.metadata_list


def fetch(path: str, local: str) -> int:
    """Copy a file to a local path and return its size in bytes."""
    with _open(path) as source, open(local, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return os.path.getsize(local)


def publish(local: str, path: str) -> None:
    """Copy a local file to a path; its folder is made if there is none."""
    with open(local, "rb") as source, open_for_writing(path) as target:
        shutil.copyfileobj(source, target, 1 << 20)


@contextlib.contextmanager
def open_for_writing(path: str) -> Iterator[BinaryIO]:
    """Open a binary file that gets its name when the `with` block ends without an error."""
    folder, _, name = path.rpartition("/")
    _make_folder(folder)
    temporary = join(folder or ".", f".{name[:_KEPT_CHARACTERS]}.{secrets.token_hex(4)}.tmp")
    try:
        with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            yield file
        _rename(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def write_text(path: str, text: str) -> None:
    """Write a whole file in UTF-8."""
    with open_for_writing(path) as file:
        file.write(text.encode())


def read_text(path: str) -> str:
    """Read a whole file in UTF-8."""
    with _open(path) as file:
        return file.read().decode()


def remove(path: str) -> None:
    """Remove a file if it exists."""
    with contextlib.suppress(OSError):
        FileSystems.delete([path])


def _open(path: str) -> BinaryIO:
    # By default Beam decompresses files whose name ends in .gz and the like.
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def _make_folder(folder: str) -> None:
    if folder and not FileSystems.exists(folder):
        try:
            FileSystems.mkdirs(folder)
        except OSError:  # Another worker may have made it at the same time.
            if not FileSystems.exists(folder):
                raise


def _rename(source: str, target: str) -> None:
    try:
        FileSystems.rename([source], [target])
    except BeamIOError:
        # HDFS does not replace a file by renaming another.
        if not FileSystems.exists(target):
            raise
        FileSystems.delete([target])
        FileSystems.rename([source], [target])
