"""Files of the networks' graphs for ONNX Runtime."""

import json
from pathlib import Path

GRAPHS = Path(__file__).parent / "graphs"
"""Folder of the graphs, one sub-folder for each variant; `tools.onnx_graphs` writes them."""


def graph_file(variant: str, role: str) -> Path:
    """Return the path of a network's graph, which need not exist.

    Args:
        variant: A key of `zoo.VARIANTS`.
        role: One of `zoo.ROLES`.
    """
    return GRAPHS / variant / f"{role}.onnx"


def weight_shapes(variant: str, role: str) -> dict[str, list[int]]:
    """Return the shapes of the weights that a graph takes, by `layer/variable`."""
    path = graph_file(variant, role).with_suffix(".json")
    return json.loads(path.read_text(encoding="utf-8"))
