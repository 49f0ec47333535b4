"""Streams that older versions wrote are read for ever.

Each stream in tests/streams was written by the release that its name gives, with the weights that
were in the box then. Headers and layers must decode to the same values with any later version; the
networks' part needs the weights of that time and their arithmetic, and is not repeated here.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import smapcomp
from smapcomp.codec.compact import decode_compact
from smapcomp.codec.container import unpack
from smapcomp.codec.labels import decode_labels
from smapcomp.codec.residual import ResidualRange, decode_residual

FOLDER = Path(__file__).resolve().parents[1] / "streams"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


@pytest.mark.parametrize("name", EXPECTED)
def test_an_old_streams_header_and_layers_decode_as_they_did(name):
    data = (FOLDER / f"{name}.smap").read_bytes()
    assert smapcomp.info(data) == EXPECTED[name]["info"]
    stream = unpack(data)
    levels = decode_compact(stream.layer("compact"), stream.compact_shape, stream.compact_step)
    found = {"compact": sha256(levels)}
    if stream.mode == "sent":
        grid = tuple(side // 8 for side in stream.padded_shape)
        found["labels"] = sha256(decode_labels(stream.layer("labels"), grid))
    if stream.layer("residual"):
        shape = (stream.height, stream.width, stream.channels)
        residual_range = ResidualRange(stream.residual_low, stream.residual_high)
        found["residual"] = sha256(decode_residual(stream.layer("residual"), shape, residual_range))
    assert found == {key: value for key, value in EXPECTED[name].items() if key != "info"}


def test_there_is_a_stream_of_every_mode():
    assert {facts["info"]["mode"] for facts in EXPECTED.values()} == {
        "none",
        "sent",
        "matched",
        "mapped",
    }
