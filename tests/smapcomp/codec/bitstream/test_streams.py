"""Committed streams decode for ever.

Each stream in tests/streams was written by the format version in its name, with the weights that
were bundled then. Its header and layers must decode to the same values with every later version.
The networks' part needs the weights of that time; with them a stream decodes to the same picture on
any machine.

To add a stream, put it into tests/streams and run

    python -m tests.smapcomp.codec.bitstream.test_streams

which adds its values to expected.json.
"""

import hashlib
import json

import numpy as np
import pytest

import smapcomp
from smapcomp import zoo
from smapcomp.codec.bitstream.container import unpack
from smapcomp.codec.bitstream.stream import CODERS, KINDS, Stream
from smapcomp.codec.layers.alpha import decode_alpha
from smapcomp.codec.layers.compact import decode_compact, decode_lossy_compact
from smapcomp.codec.layers.labels import decode_labels
from smapcomp.codec.layers.metadata import decode_metadata
from smapcomp.codec.layers.residual import decode_samples
from smapcomp.codec.layers.strengths import decode_strengths
from smapcomp.design import MODES
from tests.helpers.paths import STREAMS

EXPECTED = json.loads((STREAMS / "expected.json").read_text(encoding="utf-8"))


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def decoded_layers(stream: Stream) -> dict[str, str]:
    """Hash of what each layer decodes to, without any network."""
    shape = stream.height, stream.width, stream.channels
    grid = tuple(side // 8 for side in stream.padded_shape)
    found = {}
    for layer in stream.layers:
        if layer.kind == "compact" and stream.compact_quality is None:
            values = decode_compact(layer, stream.compact_shape, stream.compact_step)
        elif layer.kind == "compact":
            values = decode_lossy_compact(layer, stream.compact_shape, stream.compact_gain)
        elif layer.kind == "labels":
            values = decode_labels(layer, grid)
        elif layer.kind == "strengths":
            values = decode_strengths(layer, shape[:2])
        elif layer.kind == "residual" and not stream.lossless_residual:
            values = decode_samples(layer, shape)
        elif layer.kind == "residual":
            continue  # What it is worth shows in the picture.
        elif layer.kind == "alpha":
            values = decode_alpha(layer, shape[:2])
        else:
            values = np.frombuffer(decode_metadata(layer), np.uint8)
        found[layer.kind] = sha256(values)
    return found


@pytest.mark.parametrize("name", EXPECTED)
def test_an_old_streams_header_and_layers_decode_as_they_did(name):
    data = (STREAMS / name).read_bytes()
    facts = smapcomp.info(data)
    assert {key: facts[key] for key in EXPECTED[name]["info"]} == EXPECTED[name]["info"]
    assert decoded_layers(unpack(data)) == EXPECTED[name]["layers"]


@pytest.mark.parametrize("name", [name for name in EXPECTED if "picture" in EXPECTED[name]])
def test_with_its_weights_a_stream_decodes_to_the_picture_that_it_did(name):
    data = (STREAMS / name).read_bytes()
    stream = unpack(data)
    if stream.plain:
        assert sha256(smapcomp.decompress(data)) == EXPECTED[name]["picture"]
        return
    networks = zoo.cached_networks(stream.variant)
    lossy = stream.compact_quality is not None
    if networks.digest(zoo.finenet_role(stream.compact_scale, lossy)) != stream.model_digest:
        pytest.skip(f"the bundled weights are not {stream.model_digest.hex()}")
    assert sha256(smapcomp.decompress(data)) == EXPECTED[name]["picture"]


def test_there_is_a_stream_of_every_mode_kind_and_coder():
    streams = [unpack((STREAMS / name).read_bytes()) for name in EXPECTED]
    assert {stream.mode for stream in streams} == set(MODES)
    layers = {(layer.kind, layer.coder) for stream in streams for layer in stream.layers}
    everything = {(kind, coder) for kind in KINDS for coder in CODERS[kind]}
    # Coders that are not installed everywhere, and one for label maps of half a megapixel.
    absent = {("residual", "heic"), ("labels", "jxl")}
    assert layers >= everything - absent


def main() -> None:
    expected = {}
    for path in sorted(STREAMS.glob("*.sm*")):
        data, known = path.read_bytes(), EXPECTED.get(path.name)
        expected[path.name] = known or {
            "info": smapcomp.info(data),
            "layers": decoded_layers(unpack(data)),
        }
        # A known stream may need other weights than the bundled ones.
        if not known:
            expected[path.name]["picture"] = sha256(smapcomp.decompress(data))
    (STREAMS / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
