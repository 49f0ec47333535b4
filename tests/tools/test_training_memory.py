"""The measurement of a step's memory: what it prints."""

import json
import math
import subprocess
import sys

from tests.helpers.paths import ROOT


def test_the_last_line_has_memory_seconds_and_finite_losses():
    command = [sys.executable, "-m", "tools.training_memory", "--steps=2"]
    command += ["--config=experiments/configs/lossy_lite.py:2", "--config.data.coded=x2.npz"]
    command += ["--config.data.batch_size=1", "--config.data.size=64"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["seconds"]) == 2
    before, after = (found[key]["memory/host_peak_gib"] for key in ("before", "after"))
    assert 0 < before <= after
    assert [*found["losses"]] == ["loss/finenet"]
    assert math.isfinite(found["losses"]["loss/finenet"])
