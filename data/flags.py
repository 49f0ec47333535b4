"""The flags by which every data job is told its source."""

from __future__ import annotations

from absl import app, flags

from data.sources.registry import KODAK, TFDS


def define_source_flags(values: flags.FlagValues, many: bool = False) -> None:
    """Defines --source (with `many`, for one or more), --split, --kodak_dir and --tfds_dir."""
    define = flags.DEFINE_multi_string if many else flags.DEFINE_string
    define(
        "source",
        None,
        "Folder of pictures, of ADEChallengeData2016, or of prepared records; or "
        "`tfds:scene_parse150`, or `kodak`.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_string(
        "split", None, "`training` or `validation`, of sources with splits.", flag_values=values
    )
    flags.DEFINE_string(
        "kodak_dir",
        None,
        "Folder of the Kodak pictures, instead of downloading.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "tfds_dir",
        None,
        "Folder of TensorFlow Datasets, instead of its default.",
        flag_values=values,
    )


def source_spec(values: flags.FlagValues, source: str) -> str:
    """A source's spec for `data.load`, with the folder that its flag names.

    Raises:
      app.UsageError: a folder is given for a source that isn't used.
    """
    folders = {KODAK: values.kodak_dir, TFDS: values.tfds_dir}
    scheme = source.partition(":")[0]
    for other, folder in folders.items():
        if folder and other != scheme:
            raise app.UsageError(f"--{other}_dir={folder} goes with {other}, not {source}")
    return f"{source}:{folders[scheme]}" if folders.get(scheme) else source
