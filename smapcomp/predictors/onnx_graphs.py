"""Where the networks' graphs for ONNX Runtime are."""

import json
from pathlib import Path

GRAPHS = Path(__file__).parent / "graphs"
"""One folder a variant; `tools.onnx_graphs` makes them."""


def graph_file(variant: str, role: str) -> Path:
    """The graph of one of `zoo.ROLES`."""
    return GRAPHS / variant / f"{role}.onnx"


def weight_shapes(variant: str, role: str) -> dict[str, list[int]]:
    """The shapes of the weights that the graph takes, by `layer/variable`."""
    path = graph_file(variant, role).with_suffix(".json")
    return json.loads(path.read_text(encoding="utf-8"))
