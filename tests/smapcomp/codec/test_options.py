"""Options of compression and decompression, and what derives from their list."""

import inspect

import numpy as np
import pytest
from absl import flags

import smapcomp
from smapcomp.cli.command import Flags, option_values
from smapcomp.codec.options import (
    CompressOptions,
    DecodeOptions,
    Target,
    make_options,
    option_table,
)
from smapcomp.errors import SmapcompError


@pytest.mark.parametrize("options", [CompressOptions, DecodeOptions])
def test_defaults_are_allowed_values(options):
    assert options() == make_options(options, {})


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (smapcomp.compress, CompressOptions),
        (smapcomp.decode, DecodeOptions),
        (smapcomp.decompress, DecodeOptions),
    ],
)
def test_signature_and_documentation_show_every_option(function, options):
    parameters = inspect.signature(function).parameters
    for name, (option, default) in option_table(options).items():
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[name].default == default
        assert f"    {name}: {option.help}" in function.__doc__


@pytest.mark.parametrize("options", [CompressOptions, DecodeOptions])
def test_flags_of_the_command_line_give_the_defaults_back(options):
    values = flags.FlagValues()
    Flags(values).options(options)
    values(["smapcomp"])
    assert options(**option_values(values, options)) == options()


def test_flags_of_the_command_line_give_typed_values():
    values = flags.FlagValues()
    Flags(values).options(CompressOptions)
    values(["smapcomp", "--compact_scale=4", "--target_psnr=31", "--lossless=false"])
    found = CompressOptions(**option_values(values, CompressOptions))
    assert (found.compact_scale, found.target_psnr, found.lossless) == (4, 31.0, False)


def test_numpy_numbers_are_taken_like_pythons():
    found = CompressOptions(
        quality=np.int64(30),
        target_bpp=np.float32(0.5),
        compact_scale=np.int8(2),
        lossless=np.bool_(False),
    )
    assert found.lossless is False
    assert (found.quality, found.target_bpp, found.compact_scale) == (30, 0.5, 2)
    assert type(found.quality) is int
    assert type(found.target_bpp) is float


def test_the_target_is_the_one_that_is_asked_for():
    assert CompressOptions().target is None
    assert CompressOptions(target_ms_ssim=0.98).target == Target("ms_ssim", 0.98)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": None}, "quality None is not allowed; it is a whole number, 0..100"),
        ({"quality": True}, "quality True is not allowed"),
        ({"quality": "60"}, "quality '60' is not allowed"),
        ({"target_bpp": -1}, "target_bpp -1 is not allowed; it is a number above 0"),
        ({"target_bpp": float("nan")}, "target_bpp nan is not allowed"),
        ({"target_bytes": 0.5}, "target_bytes 0.5 is not allowed; it is a whole number from 1 up"),
        ({"target_ms_ssim": 1}, "target_ms_ssim 1 is not allowed; it is a number between 0 and 1"),
        ({"lossless": 1}, "lossless 1 is not allowed; it is True or False"),
        ({"mode": "best"}, "mode 'best' is unknown; allowed: none, sent, matched, mapped"),
        ({"compact_scale": True}, "compact_scale True is unknown; allowed: 1, 2, 4, 8"),
        ({"weights_dir": 3}, "weights_dir 3 is not allowed; it is a text"),
        ({"target_psnr": 40.0, "target_bpp": 1.0}, "at most one target is allowed"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options, message):
    with pytest.raises(SmapcompError, match=message):
        CompressOptions(**options)


def test_an_unknown_option_is_named_with_the_known_ones():
    with pytest.raises(TypeError, match="unknown option 'qualty'; known: quality, target_bytes"):
        smapcomp.compress(np.zeros((8, 8, 3), np.uint8), qualty=3)
    with pytest.raises(TypeError, match="unknown option 'quality'; known: stage, allow_partial"):
        smapcomp.decompress(b"", quality=3)
