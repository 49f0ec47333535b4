"""What the whole suite runs under.

Stand-ins for the programs `flif`, `bpgenc` and `bpgdec`, which package indexes don't carry.
"""

import os
import stat
import sys

import pytest

# XLA does all that it does to a program, but LLVM does not polish what comes out: compiling takes
# half of the time. Read when TensorFlow or JAX starts.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

LONG = (
    "test_train_job.py",
    "test_train_jax.py",
    "test_signatures.py",
    "test_distribution.py",
    "test_compiled_steps.py",
    "test_data_prepare.py",
    "test_report_browser.py",
)
"""Files of a minute or so, which start first: else one worker ends with one of them, alone."""


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # pytest-xdist's guess: more tests take longer


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


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


BPG = """#!{python}
# Keeps to the contract of libbpg's programs: a BPG header, then a JPEG in place of the HEVC data.
import io
import sys
from PIL import Image

def ue7(value, more=0):
    return (ue7(value >> 7, 128) if value > 127 else b"") + bytes([value & 127 | more])

program = sys.argv[0].rsplit("/", 1)[1]
if sys.argv[1:] == ["-h"]:
    print("BPG Image Encoder version 0.9.8")
    sys.exit(1)
elif program == "bpgenc":
    q, quantiser, f, format, *colours, o, target, source = sys.argv[1:]
    assert (q, f, o) == ("-q", "-f", "-o") and colours in ([], ["-c", "rgb"]), sys.argv
    pixel_format = {{"L": 0, "RGB": {{"420": 1, "444": 3}}[format]}}
    image = Image.open(source)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=100 - int(quantiser))
    header = b"BPG\\xfb" + bytes([pixel_format[image.mode] << 5, 0])
    header += ue7(image.width) + ue7(image.height) + b"\\x00"
    open(target, "wb").write(header + jpeg.getvalue())
else:
    o, target, source = sys.argv[1:]
    assert o == "-o", sys.argv
    data = open(source, "rb").read()
    Image.open(io.BytesIO(data[data.index(b"\\xff\\xd8") :])).save(target)
"""


@pytest.fixture
def bpg_programs(tmp_path, monkeypatch):
    for name in ("bpgenc", "bpgdec"):
        program = tmp_path / name
        program.write_text(BPG.format(python=sys.executable))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
