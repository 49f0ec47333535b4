"""Settings of the outputs in a folder: the file `bulk.json`, written before the first output."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smapcomp import zoo
from smapcomp.errors import SmapcompError

SETTINGS_FILE = "bulk.json"
"""Name of the file in the folder of the outputs."""

_FORMAT = "smapcomp bulk 2"

# Options that decide which inputs fail but change no output. The weights are known by their digest,
# not by their folder.
_LIMITS = ("max_pixels", "max_seconds", "weights_dir", "allow_partial")


@dataclass(frozen=True)
class OutputSettings:
    """What an output depends on besides its input.

    Attributes:
        command: "compress" or "decompress".
        options: Options of the command, JSON-ready.
    """

    command: str
    options: dict[str, Any]

    @classmethod
    def for_compression(cls, options: Mapping[str, Any]) -> "OutputSettings":
        """Return the settings for the options of `compress_file`.

        Raises:
            SmapcompError: There are no such weights.
        """
        digest = _weights_digest(options["variant"], options["weights_dir"])
        return cls("compress", {**_without_limits(options), "weights": digest})

    @classmethod
    def for_decompression(cls, options: Mapping[str, Any], file_format: str) -> "OutputSettings":
        """Return the settings for the options of `decompress_file` and the pictures' format.

        They have no digest of weights, since a stream has one.
        """
        return cls("decompress", {**_without_limits(options), "format": file_format})

    def to_json(self) -> str:
        """Return the text of the file."""
        fields = {"format": _FORMAT, "command": self.command, "options": self.options}
        return json.dumps(fields, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, path: str) -> "OutputSettings":
        """Return the settings that `to_json` wrote.

        Args:
            text: Text of the file.
            path: Path of the file, for the error.

        Raises:
            SmapcompError: The text is something else.
        """
        try:
            fields = json.loads(text)
            if fields["format"] != _FORMAT:
                raise ValueError(f"format {fields['format']!r} is not {_FORMAT!r}")
            return cls(fields["command"], fields["options"])
        except (ValueError, KeyError, TypeError) as error:
            raise SmapcompError(f"{path}: not a file of smapcomp.bulk: {error}") from None

    def describe_difference(self, requested: "OutputSettings") -> str:
        """Describe in what these settings, found in a folder, differ from the requested ones."""
        if self.command != requested.command:
            return f"the folder's outputs are of {self.command}, not {requested.command}"
        names = [
            name
            for name in {**self.options, **requested.options}
            if self.options.get(name) != requested.options.get(name)
        ]
        was, now = (
            ", ".join(f"{name}={settings.options.get(name)}" for name in names)
            for settings in (self, requested)
        )
        return f"the folder's outputs were made with {was}, not {now}"


def _without_limits(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _LIMITS}


def _weights_digest(variant: str, weights_dir: str | None) -> str:
    """Return 16 hexadecimal digits of the SHA-256 over all files of weights."""
    digest = hashlib.sha256()
    for path in sorted(zoo.cached_networks(variant, weights_dir).folder.glob("*.npz")):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
