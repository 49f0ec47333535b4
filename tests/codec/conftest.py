"""A stand-in for the program `flif`, which package indexes don't carry."""

import stat
import sys

import pytest

FLIF = """#!{python}
# Keeps to the contract of the program `flif`: a FLIF header, then the PNG as it is.
import sys
from PIL import Image

*options, source, target = sys.argv[1:]
assert options in (["-e", "-E100", "--overwrite"], ["-d", "--overwrite"]), options
data = open(source, "rb").read()
if options[0] == "-e":
    image = Image.open(source)
    def varint(value):
        return bytes([value >> 7 | 128, value & 127]) if value > 127 else bytes([value])
    header = b"FLIF" + {{"L": b"1", "RGB": b"C"}}[image.mode] + b"1"
    data = header + varint(image.width - 1) + varint(image.height - 1) + data
else:
    data = data[data.index(b"\\x89PNG"):]
open(target, "wb").write(data)
"""


@pytest.fixture
def flif_program(tmp_path, monkeypatch):
    program = tmp_path / "flif"
    program.write_text(FLIF.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
