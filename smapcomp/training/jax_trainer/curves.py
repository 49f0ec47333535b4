"""Curves of a run as a file of JSON lines."""

import json
import os
from collections.abc import Mapping

from absl import logging

from smapcomp.training.errors import WorkdirError


class CurveFile:
    """File of JSON lines, one object a line: `step`, `seconds` and the values of curves.

    Args:
        path: The file. Lines after the step that the run continues from are removed.
        done: That step; 0 for a new run.

    Raises:
        WorkdirError: The file cannot be written.
    """

    def __init__(self, path: str, done: int):
        self.path = path
        lines = []
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                lines = [line for line in file if line.endswith("}\n")]
        kept = [line for line in lines if json.loads(line)["step"] <= done]
        temporary = f"{path}.tmp"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write("".join(kept))
            os.replace(temporary, path)
        except OSError as error:
            raise WorkdirError(f"{path}: cannot be written: {error.strerror}") from None

    def add(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Append a line, and log its values but for gradient norms."""
        values = {name: float(f"{value:.6g}") for name, value in values.items()}
        console = {k: v for k, v in values.items() if not k.startswith("gradient_norm/")}
        console = {name.removeprefix("train/"): value for name, value in console.items()}
        logging.info("step %d, %.0f s: %s", step, seconds, console)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "seconds": round(seconds, 1), **values}) + "\n")
