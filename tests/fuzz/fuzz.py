r"""Coverage-guided fuzzing of the decoder, by atheris (`pip install -r requirements-fuzz.txt`).

    python -m tests.fuzz.fuzz --target=container --seconds=600

New inputs that reach new code go to tests/fuzz/corpus/TARGET, which the test suite replays. An
input that ends in anything but an error of the package is written to the folder of --crashes and
stops the run. Without --target every target runs for its share of the seconds.
"""

import os
import subprocess
import sys
from pathlib import Path

from absl import app, flags

FLAGS = flags.FLAGS

CORPUS = Path(__file__).parent / "corpus"


def main(_) -> None:
    from tests.fuzz.targets import TARGETS

    names = [FLAGS.target] if FLAGS.target else list(TARGETS)
    failed = []
    for name in names:
        seconds = max(1, FLAGS.seconds // len(names))
        command = [sys.executable, "-m", "tests.fuzz.fuzz", "--child", name, str(seconds)]
        if subprocess.run([*command, FLAGS.crashes], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"fuzz: findings in {', '.join(failed)}, see {FLAGS.crashes}")


def fuzz_one(name: str, seconds: str, crashes: str) -> None:
    """Fuzzes one target in this process, which libFuzzer ends."""
    import atheris

    # The decoders' own code is instrumented; what they are built on was loaded before.
    import imagecodecs  # noqa: F401
    import numpy  # noqa: F401
    import PIL.Image  # noqa: F401

    with atheris.instrument_imports(include=["smapcomp"]):
        from tests.fuzz.targets import run, seeds

    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (folder / f"seed{number}").write_bytes(seed)
    os.makedirs(crashes, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-max_len=4096",
        f"-artifact_prefix={crashes}/{name}-",
        "-print_final_stats=0",
        str(folder),
    ]
    atheris.Setup([sys.argv[0], *options], lambda data: run(name, bytes(data)))
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        fuzz_one(*sys.argv[2:])
    else:
        flags.DEFINE_string("target", None, "One of tests.fuzz.targets; by default all.")
        flags.DEFINE_integer("seconds", 600, "For all targets together.", 1)
        flags.DEFINE_string("crashes", "out/crashes", "Folder for inputs that are findings.")
        app.run(main)
