"""`--keep_metadata` and `--to_srgb` tell how `compress` reads a picture."""

import numpy as np
from PIL import Image

import smapcomp
from smapcomp.cli.main import main
from tests.helpers import icc_profiles
from tests.helpers.pictures import smooth_picture

RGB = smooth_picture(3, 24, 32)


def test_profiles_are_kept_applied_or_named(tmp_path, capsys):
    source, target = str(tmp_path / "wide.png"), str(tmp_path / "wide.smc")
    Image.fromarray(RGB).save(source, icc_profile=icc_profiles.swapped_rgb())
    found = {}
    for words in ((), ("--keep_metadata",), ("--to_srgb",), ("--to_srgb", "--keep_metadata")):
        arguments = ["compress", source, target, "--lossless", "--overwrite", *words]
        assert main(["smapcomp", *arguments]) == 0
        found[words] = smapcomp.decode((tmp_path / "wide.smc").read_bytes())
        message = capsys.readouterr().err
        assert ("--to_srgb applies it" in message) == (not words)
    for words, picture in found.items():
        is_converted = "--to_srgb" in words
        expected = RGB[:, :, ::-1] if is_converted else RGB
        assert np.abs(picture.samples.astype(int) - expected).max() <= (2 if is_converted else 0)
        assert (picture.icc is not None) == (words == ("--keep_metadata",))
