"""The worked examples of CONTRIBUTING.md, which run as they stand there."""

import re
import textwrap
import types
import zipfile

import numpy as np
import pytest

from smapcomp.errors import PayloadError
from tests.helpers.paths import DEMO_PHOTO, ROOT


def example(path: str) -> types.ModuleType:
    """Run the module that CONTRIBUTING.md shows under a path."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(
        rf"\*\*{re.escape(path)}\*\*:\n\n( +)```python\n(.*?)\n\1```", text, re.DOTALL
    )
    assert found, f"CONTRIBUTING.md shows no {path}"
    module = types.ModuleType(path)
    exec(compile(textwrap.dedent(found[2]), path, "exec"), vars(module))
    return module


@pytest.mark.parametrize("channels", [1, 3])
def test_the_coder_codes_pictures_and_refuses_other_payloads(channels):
    coder = example("smapcomp/codec/coders/webp.py")
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8)[:, None, None], (1, 47, channels))
    payload = coder.encode(ramp, 90)
    decoded = coder.decode(payload, ramp.shape)
    assert decoded.shape == ramp.shape
    assert np.abs(decoded.astype(int) - ramp).max() < 12
    assert len(coder.encode(ramp, 10)) <= len(payload)
    for wrong in (payload[:20], b"", b"RIFF"):
        with pytest.raises(PayloadError):
            coder.decode(wrong, ramp.shape)
    with pytest.raises(PayloadError, match=r"WebP picture of \(47, 60\)"):
        coder.decode(payload, (60, 48, channels))


def test_the_network_takes_any_size_and_starts_as_the_identity():
    model = example("smapcomp/models/deblocknet.py").build_deblocknet(filters=4, blocks=1)
    image = np.random.default_rng(0).uniform(-1, 1, (2, 13, 10, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(model(image)), image)


def test_the_source_reads_the_pictures_of_an_archive(tmp_path):
    import tensorflow as tf
    from PIL import Image

    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(DEMO_PHOTO, "b.png")
        archive.write(DEMO_PHOTO, "a.png")
        archive.writestr("notes.txt", "no picture")
    source = example("data/sources/zip_archive.py").ZipSource(str(path))
    assert len(source) == 2
    assert source.ignored == (("notes.txt", "neither .png nor .jpg"),)
    (first, _) = tf.data.Dataset.range(len(source)).map(source.read).as_numpy_iterator()
    assert first["name"] == b"a"
    np.testing.assert_array_equal(first["image"], np.asarray(Image.open(DEMO_PHOTO)))
