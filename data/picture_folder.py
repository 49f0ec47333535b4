"""Picture files of a folder that a flag names."""

import re
from pathlib import Path

from smapcomp.errors import SmapcompError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".ppm", ".tif", ".tiff")
"""Extensions of picture files, in lower case."""

_ANNOTATION = re.compile(r"(.+)_(seg|parts_\d+)\.png")
"""Name of an annotation that lies beside its picture in the full ADE20K distribution."""


def picture_files(folder: str) -> list[Path]:
    """Return the picture files of the folder of --pictures, sorted by name.

    The annotations that the full ADE20K distribution has beside its pictures are no pictures.

    Raises:
        SmapcompError: There is no such folder, or no picture in it.
    """
    path = Path(folder)
    if not path.is_dir():
        raise SmapcompError(f"--pictures={folder}: no such folder")
    found = sorted(
        p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not _is_annotation(p)
    )
    if not found:
        raise SmapcompError(f"--pictures={folder}: no pictures; looked for {', '.join(SUFFIXES)}")
    return found


def _is_annotation(path: Path) -> bool:
    match = _ANNOTATION.fullmatch(path.name)
    return match is not None and path.with_name(f"{match[1]}.jpg").exists()


def find_pictures(folder: str, kodak_dir: str | None) -> list[Path]:
    """Return the picture files that --pictures names.

    Args:
        folder: A folder; or `kodak` for the 24 Kodak pictures, which are checked.
        kodak_dir: Folder of the Kodak pictures; `None` downloads them once.

    Raises:
        SmapcompError: There is no such folder, or no picture in it.
        DataError: A Kodak picture is not the published one, or cannot be downloaded.
    """
    if folder != "kodak":
        return picture_files(folder)
    from data.sources import kodak  # loads TensorFlow

    return [Path(path) for path in kodak.open_kodak(kodak_dir).images]
