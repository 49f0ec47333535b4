"""Files on any file system: a local folder and, through Beam, gs://, s3://, hdfs:// and others.

A path of the local file system is taken as it is, whatever characters it has; Beam's own functions
would take brackets and backslashes in some of them for patterns. A file that is written appears
whole or not at all: it is written under a temporary name in the same folder and then renamed.
"""

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from smapcomp.bulk.patterns import Pattern, folder_of
from smapcomp.errors import SmapcompError
from smapcomp.pictures.image_files import cut_name

_TEMPORARY_NAME = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp", re.DOTALL)

# Bytes of a name that its temporary name repeats. File systems allow names of up to 255.
_KEPT_BYTES = 200


def is_local(path: str) -> bool:
    """Return whether a path has no scheme, such as gs://."""
    return re.match(r"[a-zA-Z][-a-zA-Z0-9+.]*://", path) is None


def join(folder: str, name: str) -> str:
    """Return the path of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def identity(path: str) -> str:
    """Return a text that is the same for all paths of one file, apart from links."""
    return os.path.abspath(path) if is_local(path) else path


def shorten_name(path: str) -> str:
    """Return the path with its name cut to the part that temporary names repeat."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + cut_name(name, _KEPT_BYTES)


def is_temporary_of(path: str, shortened: set[str]) -> bool:
    """Return whether a path is a temporary name of one of the paths.

    Args:
        path: The path.
        shortened: Results of `shorten_name`.
    """
    folder, slash, name = path.rpartition("/")
    match = _TEMPORARY_NAME.fullmatch(name)
    return match is not None and folder + slash + match[1] in shortened


def list_folder(folder: str) -> list[FileMetadata]:
    """Return all files in a folder and its subfolders; the folder's name is no pattern.

    Subfolders that cannot be listed are left out.

    Raises:
        SmapcompError: No file system of that scheme is installed, or it cannot be listed.
    """
    root = join(folder, "")
    if is_local(root):
        return [_local_metadata(path) for path in _walk(root)]
    return _list_remote(root)


def find_files(pattern: str) -> tuple[str, list[FileMetadata]]:
    """Return the files that match a pattern.

    Args:
        pattern: The pattern, as `Pattern` takes it. The path of an existing file also stands for
            that file, and only for it if it has no star and no question mark. Names of existing
            local folders stand for those folders.

    Returns:
        The folder before the first wildcard, with its slash, or the empty string; and the files.

    Raises:
        SmapcompError: The pattern is malformed, no file system of its scheme is installed, or a
            folder cannot be listed.
    """
    has_stars = "*" in pattern or "?" in pattern
    if is_local(pattern):
        exact = [pattern] if os.path.lexists(pattern) and not os.path.isdir(pattern) else []
        matcher = Pattern(pattern, os.path.isdir)
        if exact and not has_stars:
            return folder_of(pattern), [_local_metadata(pattern)]
        matcher = Pattern(pattern, os.path.isdir)
        found = _walk(matcher.root, matcher.depth, strict=True)
        paths = dict.fromkeys([*exact, *filter(matcher.matches, found)])
        return matcher.root, list(map(_local_metadata, paths))
    if not has_stars and (file := _remote_file(pattern)):
        return folder_of(pattern), [file]
    matcher = Pattern(pattern)
    return matcher.root, [f for f in _list_remote(matcher.root) if matcher.matches(f.path)]


def _walk(root: str, depth: int | None = None, strict: bool = False) -> Iterator[str]:
    """Yield the files below a local folder.

    Args:
        root: The folder with its slash, or the empty string for the current folder.
        depth: How many levels of subfolders are listed; `None` for all.
        strict: Whether a folder that cannot be listed is an error.
    """

    def refuse(error: OSError) -> None:
        if strict and not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise SmapcompError(f"{error.filename}: {error.strerror}") from error

    top = root or "./"
    for folder, subfolders, names in os.walk(top, onerror=refuse):
        if depth is not None and folder[len(top) :].count("/") + (folder != top) >= depth:
            subfolders.clear()
        for name in names:
            path = os.path.join(folder, name)
            yield path if root else path.removeprefix("./")


def _local_metadata(path: str) -> FileMetadata:
    try:
        found = os.stat(path)
    except OSError:  # A link to nothing, which will fail when it is read.
        return FileMetadata(path, 0, 0.0)
    return FileMetadata(path, found.st_size, found.st_mtime)


def _list_remote(root: str) -> list[FileMetadata]:
    """Return all files whose path begins with a folder's, which ends with a slash."""
    # Beam takes brackets and the like for a pattern, so a shorter beginning is listed.
    beginning = re.split(r"[*?[]", root, maxsplit=1)[0]
    try:
        found = FileSystems.match([f"{beginning}**"])[0].metadata_list
    except (OSError, ValueError) as error:
        raise SmapcompError(f"{root}: {error}") from error
    return [file for file in found if file.path.startswith(root)]


def _remote_file(path: str) -> FileMetadata | None:
    try:
        return FileSystems.get_filesystem(path).metadata(path) if FileSystems.exists(path) else None
    except (OSError, ValueError) as error:
        raise SmapcompError(f"{path}: {error}") from error


def exists(path: str) -> bool:
    """Return whether there is such a file or folder."""
    return os.path.lexists(path) if is_local(path) else _remote_file(path) is not None


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
    folder, slash, name = path.rpartition("/")
    _make_folder(folder)
    kept = cut_name(name, _KEPT_BYTES)
    temporary = f"{folder}{slash}.{kept}.{secrets.token_hex(4)}.tmp"
    try:
        with _create(temporary) as file:
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
        if is_local(path):
            os.remove(path)  # Beam would remove a folder with all that is in it.
        else:
            FileSystems.delete([path])


def _open(path: str) -> BinaryIO:
    if is_local(path):
        # Opening a named pipe would wait for a writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise SmapcompError(f"{path}: is not a regular file")
        return open(path, "rb")
    # By default Beam decompresses files whose name ends in .gz and the like.
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def _create(path: str) -> BinaryIO:
    if is_local(path):
        return open(path, "xb")
    return FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)


def _make_folder(folder: str) -> None:
    if is_local(folder):
        if folder:
            os.makedirs(folder, exist_ok=True)
    elif not FileSystems.exists(folder):
        try:
            FileSystems.mkdirs(folder)
        except OSError:  # Another worker may have made it at the same time.
            if not FileSystems.exists(folder):
                raise


def _rename(source: str, target: str) -> None:
    if is_local(source):
        os.replace(source, target)
        return
    try:
        FileSystems.rename([source], [target])
    except BeamIOError:
        # HDFS does not replace a file by renaming another.
        if not FileSystems.exists(target):
            raise
        FileSystems.delete([target])
        FileSystems.rename([source], [target])
