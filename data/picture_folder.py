"""Picture files of a folder that a flag names."""

from pathlib import Path

from absl import app

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".ppm", ".tif", ".tiff")
"""Extensions of picture files, in lower case."""


def picture_files(folder: str) -> list[Path]:
    """Return the picture files of the folder of --pictures, sorted by name.

    Raises:
        app.UsageError: There is no such folder, or no picture in it.
    """
    path = Path(folder)
    if not path.is_dir():
        raise app.UsageError(f"--pictures={folder}: no such folder")
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        raise app.UsageError(f"--pictures={folder}: no pictures; looked for {', '.join(SUFFIXES)}")
    return found


def find_pictures(folder: str, kodak_dir: str | None) -> list[Path]:
    """Return the picture files that --pictures names.

    Args:
        folder: A folder; or `kodak` for the 24 Kodak pictures, which are checked.
        kodak_dir: Folder of the Kodak pictures; `None` downloads them once.

    Raises:
        app.UsageError: There is no such folder, or no picture in it.
        DataError: A Kodak picture is not the published one, or cannot be downloaded.
    """
    if folder != "kodak":
        return picture_files(folder)
    from data.sources import kodak  # loads TensorFlow

    return [Path(path) for path in kodak.open_kodak(kodak_dir).images]
