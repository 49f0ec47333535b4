"""How the outputs in a folder are made: `bulk.json`, written before the first of them."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from smapcomp import zoo
from smapcomp.errors import SmapcompError

FILE = "bulk.json"
FORMAT = "smapcomp bulk 1"

_LIMITS = ("max_pixels", "max_seconds", "weights_dir", "on_mismatch", "allow_partial")
"""Options that decide what fails, not what the rest becomes; what weights there are the digest
says."""


@dataclass(frozen=True)
class OutputSettings:
    """What an output depends on besides its input.

    Attributes:
        work: "compress" or "decompress".
        options: JSON-ready.
    """

    work: str
    options: dict[str, Any]

    @classmethod
    def of_compressing(cls, options: dict[str, Any]) -> "OutputSettings":
        """Those of `compress_file`'s options.

        Raises:
            SmapcompError: There are no such weights.
        """
        digest = _weights_digest(options["variant"], options["weights_dir"])
        return cls("compress", {**_without_limits(options), "weights": digest})

    @classmethod
    def of_decompressing(cls, options: dict[str, Any], file_format: str) -> "OutputSettings":
        """Those of `decompress_file`'s options. Streams know their weights."""
        return cls("decompress", {**_without_limits(options), "format": file_format})

    def dumps(self) -> str:
        """The file's text."""
        facts = {"format": FORMAT, "work": self.work, "options": self.options}
        return json.dumps(facts, indent=1) + "\n"

    @classmethod
    def loads(cls, text: str, path: str) -> "OutputSettings":
        """What `dumps` wrote.

        Raises:
            SmapcompError: It is something else; `path` is what the error calls it.
        """
        try:
            facts = json.loads(text)
            if facts["format"] != FORMAT:
                raise ValueError(f"format {facts['format']!r} is not {FORMAT!r}")
            return cls(facts["work"], facts["options"])
        except (ValueError, KeyError, TypeError) as error:
            raise SmapcompError(f"{path}: not a file of smapcomp.bulk: {error}") from None

    def difference(self, other: "OutputSettings") -> str:
        """What to say of these, found in a folder, when `other` is asked for."""
        if self.work != other.work:
            return f"the folder's outputs are of {self.work}, not {other.work}"
        names = [
            name
            for name in {**self.options, **other.options}
            if self.options.get(name) != other.options.get(name)
        ]
        was, now = (
            ", ".join(f"{name}={settings.options.get(name)}" for name in names)
            for settings in (self, other)
        )
        return f"the folder's outputs were made with {was}, not {now}"


def _without_limits(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _LIMITS}


def _weights_digest(variant: str, weights_dir: str | None) -> str:
    digest = hashlib.sha256()
    for path in sorted(zoo.load(variant, weights_dir).folder.glob("*.npz")):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
