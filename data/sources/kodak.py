"""The 24 Kodak pictures: lossless, 768x512 or 512x768, free to use, for evaluation only."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from data.errors import DataError
from data.sources.folder import FolderSource
from smapcomp.pictures import image_files

URL = "https://r0k.us/graphics/kodak/kodak/"
"""Folder of the files at Rich Franzen's page, the usual source."""

TIMEOUT_SECONDS = 30
"""Longest wait for a reply of that server."""

SHA256 = (
    "a56e27cbf5f843c048b6af1d6e090760e9c92fadba88b7dee0205918a37523bd",
    "133d50ad0f2cda48fef30e251f433fa1a98ee08c0f2d07cdab9462e876ccae5d",
    "e25ca1ff2f0c0cb5fdfd5f9b0a0bb21ac4c3de3c84a67f35b09a85d3306249db",
    "1e079e4adc03524e53f1394a2a8e1c5995f0f70a5aec125b12fa3fdbe33cba37",
    "10349e963c5c813d327852f82c1795fa4148d69fedffc4c589bee458e3ac3d53",
    "363510303b715d4cbc384e1ce227e466b613a09e1b71ae985882bf8e7fbd9b18",
    "a74d606cef80e70a04fb983364f79fb954ad46665edf2a8b7355ce81adfa7998",
    "e3cfc1371a5643c7f8cdf1bd565c172abce6aa26e3f2fdce74cbf7c32364089d",
    "a0c72eb70826619305388ed9c0f8aa8f491b234155d62673cda270d7021149a2",
    "28fb615837dc8e66fc92c40158cac80b57f07d0ce77d22576aa85ac9e2787336",
    "7936814b58b5387fce2e4e2488b4ec830dadd95fa9520f358ddb30990b50f2b6",
    "d78c37c2f04f23761ed2367dd77e2db584ddd4c3950833fecf89f199a8126980",
    "bc34a3ce58dea09dce1704c997171602de90cb34d0c8503a988b77f473d39b08",
    "55a94550ff18f3246c4074fd32b77b0c74447c26b6ad274d564d999c0450ba6e",
    "d36d884e29bce92adea11de456be4e9a5815e79c112d47453a34a6f6edc84e63",
    "a89c7268ccd4718ba424a99fc4643c572cf692ca6eae887185ceb4e9f11d2e54",
    "37afcc89fbdcb76d9518e04b2fc011027e2f4cd14b3b2f83cefd721641a47c5b",
    "5deb2d91e347cbdcc0d8a595daa8877de0772c9cdbce4956a2f45a0f97648a47",
    "8f12d577f9ca36f384f82dec11ed8a4e12a27bd5a32ef117b9bcaf4fe4d0606f",
    "3b46c71e3b92a563820ba32936be8330c586c41f938efd94be938386aae4328a",
    "ac958597c82073f6bb65129c68f72b651db5b9efd82e11547d07350214bc268b",
    "37782d92a1cfb36ff586047d5c0a2fa75e042fd0b58f90f866b4ab91349c4e03",
    "2ed596d7de74cc43d23add4c116763f49d7b5a78b21444fe84caece531ee933b",
    "ac96f39dacff2ec303ddb8a7eb72d59f77af2b491144926335938338ee63473d",
)
"""Hexadecimal SHA-256 of the published files, in the order of `NAMES`."""

NAMES = tuple(f"kodim{number:02}.png" for number in range(1, 25))
"""Names of the files."""


def open_kodak(folder: str | None = None) -> FolderSource:
    """Open the pictures and check them by their SHA-256.

    Args:
        folder: Folder of the pictures; `None` for `default_folder()`, to which missing ones are
            downloaded.

    Raises:
        DataError: A picture is missing and cannot be downloaded, or is not the published file.
    """
    directory = Path(folder) if folder else default_folder()
    if folder is None:
        download(directory)
    elif not directory.is_dir():
        raise DataError(f"{directory}: no such folder")
    for name, expected in zip(NAMES, SHA256, strict=True):
        path = directory / name
        if not path.is_file():
            raise DataError(f"{path}: missing; the set is {NAMES[0]} to {NAMES[-1]}")
        _check(str(path), path.read_bytes(), expected)
    return FolderSource(tuple(str(directory / name) for name in NAMES), None)


def default_folder() -> Path:
    """Return `$XDG_CACHE_HOME/smapcomp/kodak`, by default `~/.cache/smapcomp/kodak`."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "smapcomp" / "kodak"


def download(folder: Path, url: str = URL) -> None:
    """Download the pictures that a folder lacks, with a progress bar.

    A file is checked before it gets its name, so that every file in the folder is whole.

    Args:
        folder: The folder, which is created if needed.
        url: Address before the names of the files.

    Raises:
        DataError: The folder cannot be created, the server cannot be reached, or a file is not the
            published one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be created: {error.strerror}") from None
    missing = [pair for pair in zip(NAMES, SHA256, strict=True) if not (folder / pair[0]).exists()]
    for name, expected in tqdm(missing, desc="Kodak pictures", unit="file", disable=not missing):
        try:
            with urllib.request.urlopen(url + name, timeout=TIMEOUT_SECONDS) as reply:
                data = reply.read()
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise DataError(
                f"{url}{name}: cannot be downloaded ({reason}); --kodak_dir takes a folder of "
                f"{NAMES[0]} to {NAMES[-1]}"
            ) from None
        _check(url + name, data, expected)
        image_files.write_file(folder / name, data, overwrite=True)


def _check(location: str, data: bytes, expected: str) -> None:
    actual = hashlib.sha256(data).hexdigest()
    if actual != expected:
        raise DataError(f"{location}: its SHA-256 is {actual}, not {expected} as published")
