"""The pictures in a folder that a flag names."""

from pathlib import Path

from absl import app

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".ppm", ".tif", ".tiff")


def picture_files(folder: str) -> list[Path]:
    """The files of the folder of `--pictures` that have a picture's extension, by name.

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
    """The pictures of `--pictures`: a folder's, or, of `kodak`, the 24 Kodak pictures, checked.

    Args:
        folder: A folder, or `kodak`.
        kodak_dir: Where those of `kodak` lie; None: they are downloaded once.

    Raises:
        app.UsageError: As `picture_files`.
        DataError: A Kodak picture is another one or can't be downloaded.
    """
    if folder != "kodak":
        return picture_files(folder)
    from data.sources.registry import kodak

    return [Path(path) for path in kodak.open_kodak(kodak_dir).images]
