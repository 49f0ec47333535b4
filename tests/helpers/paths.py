"""Folders that tests read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Root of the repository."""

DEMO_PHOTO = ROOT / "docs" / "demo" / "photo.png"
GOLDEN = ROOT / "tests" / "golden"
STREAMS = ROOT / "tests" / "streams"
TRIALS = ROOT / "tests" / "trials"

SHARED = ROOT.parent / "shared"
"""Pictures, weights and measured figures that may lie beside the repository."""
