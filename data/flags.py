"""Flags that tell a data job its source."""

from __future__ import annotations

from absl import app, flags

from data.sources.registry import KODAK, TFDS


def define_source_flags(values: flags.FlagValues, several: bool = False) -> None:
    """Define --source, --split, --kodak_dir and --tfds_dir.

    Args:
        values: The flags to which they are added.
        several: Whether --source may be given more than once.
    """
    define = flags.DEFINE_multi_string if several else flags.DEFINE_string
    define(
        "source",
        None,
        "Folder of pictures, of ADEChallengeData2016, of ADE20K_2021_17_01 or of prepared "
        "records; or "
        "`tfds:scene_parse150`; or `kodak`.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_string(
        "split",
        None,
        "`training` or `validation`, for a source that has splits.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "kodak_dir",
        None,
        "Folder of the Kodak pictures. By default they are downloaded.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "tfds_dir",
        None,
        "Folder of TensorFlow Datasets. By default the one that TFDS uses.",
        flag_values=values,
    )


def source_spec(values: flags.FlagValues, source: str) -> str:
    """Return the spec of a source for `data.load`, with the folder that a flag names.

    Args:
        values: Flags of `define_source_flags`.
        source: A value of --source.

    Raises:
        app.UsageError: A flag names the folder of another source.
    """
    folders = {KODAK: values.kodak_dir, TFDS: values.tfds_dir}
    scheme = source.partition(":")[0]
    for other, folder in folders.items():
        if folder and other != scheme:
            raise app.UsageError(
                f"--{other}_dir={folder} is allowed with the source {other} only, not with {source}"
            )
    return f"{source}:{folders[scheme]}" if folders.get(scheme) else source
