"""Files on any file system that Beam knows: a folder, gs://, s3://, hdfs:// and so on.

What is written appears under its name whole or not at all.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from smapcomp.errors import SmapcompError

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")
_WHOLE = 200
"""Characters of a name that its temporary name repeats: names have up to 255."""


def join(folder: str, name: str) -> str:
    """The path of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def identity(path: str) -> str:
    """The same for two names of one file, but for links."""
    return path if "://" in path else os.path.abspath(path)


def is_temporary_of(path: str, names: set[str]) -> bool:
    """Whether a path is a temporary name of one of the paths `names`, each cut by `shortened`."""
    folder, slash, name = path.rpartition("/")
    found = _TEMPORARY.fullmatch(name)
    return bool(found) and folder + slash + found[1] in names


def shortened(path: str) -> str:
    """The path, its name cut as temporary names have it."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + name[:_WHOLE]


def files_that_match(pattern: str) -> list[FileMetadata]:
    """Files by a pattern in Beam's syntax.

    Raises:
        SmapcompError: No file system of that scheme is installed, or it can't be listed.
    """
    # The local file system lists nothing for a pattern without a folder.
    here = "/" not in pattern
    try:
        found = FileSystems.match([f"./{pattern}" if here else pattern])[0].metadata_list
    except (OSError, ValueError) as error:
        raise SmapcompError(f"{pattern}: {error}") from error
    for file in found:
        file.path = file.path.removeprefix("./") if here else file.path
    return found


def fetch(path: str, local: str) -> int:
    """Copies a file to a local one; returns its bytes."""
    with _opened(path) as source, open(local, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return os.path.getsize(local)


def publish(local: str, path: str) -> None:
    """Copies a local file to its place, whose folder is made, under a temporary name first."""
    with open(local, "rb") as source, written(path) as target:
        shutil.copyfileobj(source, target, 1 << 20)


@contextlib.contextmanager
def written(path: str) -> Iterator:
    """A binary file to write to that takes its name when the block ends."""
    folder, _, name = path.rpartition("/")
    _make_folder(folder)
    temporary = join(folder or ".", f".{name[:_WHOLE]}.{secrets.token_hex(4)}.tmp")
    try:
        with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            yield file
        _rename(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def write_text(path: str, text: str) -> None:
    """Writes a whole file."""
    with written(path) as file:
        file.write(text.encode())


def read_text(path: str) -> str:
    """A whole file."""
    with _opened(path) as file:
        return file.read().decode()


def remove(path: str) -> None:
    """Removes a file if it is there."""
    with contextlib.suppress(OSError):
        FileSystems.delete([path])


def _opened(path: str):
    # Told by its name, Beam would unpack a file.gz.
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def _make_folder(folder: str) -> None:
    if folder and not FileSystems.exists(folder):
        try:
            FileSystems.mkdirs(folder)
        except OSError:  # another worker was quicker
            if not FileSystems.exists(folder):
                raise


def _rename(source: str, target: str) -> None:
    try:
        FileSystems.rename([source], [target])
    except BeamIOError:
        # HDFS doesn't replace files.
        if not FileSystems.exists(target):
            raise
        FileSystems.delete([target])
        FileSystems.rename([source], [target])
