"""Checkpoints of a run: one `.npz` file for each saved step, complete or absent."""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from smapcomp.training.errors import WorkdirError

BEST = "best.npz"

# Names of the entries of a checkpoint that are not variables.
STEP_KEY = "step"
SETTINGS_KEY = "settings"
SCORE_KEY = "score"


class Checkpoints:
    """The checkpoints in a folder: the newest ones, and the best one.

    Args:
        folder: Folder of the checkpoints; it is created if it does not exist.
        keep: Number of the newest checkpoints that are kept.
        settings: Values that may not change while the run lasts; they can be written as JSON. They
            are written into each checkpoint and compared when one is restored.
        writer: Whether this process writes. Of several processes, one writes and all read.

    Raises:
        WorkdirError: The folder cannot be created or written.
    """

    def __init__(
        self,
        folder: str,
        keep: int = 3,
        settings: Mapping[str, Any] | None = None,
        writer: bool = True,
    ):
        self.folder = folder
        self.keep = keep
        self.settings = json.loads(json.dumps(dict(settings or {})))
        self.writer = writer
        if not writer:
            return
        try:
            os.makedirs(folder, exist_ok=True)
            for name in os.listdir(folder):
                if name.endswith(".tmp"):  # left by a run that was killed while writing
                    os.remove(os.path.join(folder, name))
            probe = os.path.join(folder, "probe.tmp")
            with open(probe, "wb") as file:
                file.write(b"\0")
            os.remove(probe)
        except OSError as error:
            raise WorkdirError(f"{folder}: cannot be written: {error.strerror}") from None

    def path(self, step: int) -> str:
        """Return the path of a step's checkpoint."""
        return os.path.join(self.folder, f"step-{step:08}.npz")

    @property
    def best_path(self) -> str:
        """The path of the best checkpoint."""
        return os.path.join(self.folder, BEST)

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, oldest first."""
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else ()
        found = (re.fullmatch(r"step-(\d+)\.npz", name) for name in names)
        return sorted(int(match[1]) for match in found if match)

    def require_space(self, variables: Mapping[str, Any], best: bool) -> None:
        """Check that the disk has room for the checkpoints that the run will write.

        Args:
            variables: Variables of a checkpoint, as `save` takes them.
            best: Whether the best checkpoint is kept too.

        Raises:
            WorkdirError: The disk has too little room.
        """
        if not self.writer:
            return
        size = _checkpoint_bytes(variables)
        # One more, because a new checkpoint is complete before the oldest is removed.
        missing = max(self.keep - len(self.steps()), 0) + 1
        missing += best and not os.path.exists(self.best_path)
        free = shutil.disk_usage(self.folder).free
        if free < missing * size:
            raise WorkdirError(
                f"{self.folder}: {_mib(free)} free; {missing} more checkpoints need "
                f"{_mib(size)} each"
            )

    def describe_size(self, variables: Mapping[str, Any], best: bool) -> str:
        """Return the line that says how much room the checkpoints of the run take.

        Args:
            variables: Variables of a checkpoint, as `save` takes them.
            best: Whether the best checkpoint is kept too.
        """
        count = self.keep + best
        size = _checkpoint_bytes(variables)
        kept = f"{self.keep} newest{' and the best' if best else ''}"
        return f"checkpoints: {_mib(size)} each, {_mib(count * size)} in all ({kept} are kept)"

    def save(self, step: int, variables: Mapping[str, Any]) -> None:
        """Write the values of the variables, then remove old checkpoints.

        Args:
            step: Number of the step.
            variables: Name to a Keras variable, or to any object with `numpy()`, `assign(array)`,
                `shape` and `dtype`.

        Raises:
            WorkdirError: The file cannot be written; older checkpoints are kept.
        """
        if not self.writer:
            return
        self._write(self.path(step), step, variables, {})
        for old in self.steps()[: -self.keep]:
            os.remove(self.path(old))

    def save_best(self, step: int, variables: Mapping[str, Any], score: float) -> None:
        """Write the best checkpoint so far.

        Args:
            step: Number of the step.
            variables: As `save` takes them.
            score: Value of the metric by which it is the best.

        Raises:
            WorkdirError: The file cannot be written.
        """
        if self.writer:
            self._write(self.best_path, step, variables, {SCORE_KEY: np.float64(score)})

    def best_score(self) -> float | None:
        """Return the score of the best checkpoint, or `None` if there is none."""
        if not os.path.exists(self.best_path):
            return None
        return float(_read(self.best_path)[SCORE_KEY])

    def _write(self, path: str, step: int, variables: Mapping, more: Mapping) -> None:
        arrays = {key: variable.numpy() for key, variable in variables.items()}
        arrays |= {STEP_KEY: np.int64(step), SETTINGS_KEY: np.array(json.dumps(self.settings))}
        temporary = path + ".tmp"
        try:
            with open(temporary, "wb") as file:
                np.savez(file, **arrays, **more)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            if os.path.exists(temporary):
                os.remove(temporary)
            raise WorkdirError(f"{path}: cannot be written: {error.strerror}") from None

    def restore(self, step: int, variables: Mapping[str, Any]) -> None:
        """Assign the values of a checkpoint to the variables.

        Args:
            step: Number of the step.
            variables: As `save` takes them.

        Raises:
            WorkdirError: The file is damaged, or the run that wrote it has other settings, networks
                or optimizers.
        """
        path = self.path(step)
        arrays = _read(path)
        arrays.pop(STEP_KEY, None)
        settings = json.loads(str(arrays.pop(SETTINGS_KEY, "{}")))
        for key in sorted(set(settings) | set(self.settings)):
            old, new = settings.get(key), self.settings.get(key)
            if old != new:
                raise WorkdirError(
                    f"{path}: its run has {key} {json.dumps(old)}, not {json.dumps(new)}; "
                    "continue with the same value or use another workdir"
                )
        differing = sorted(set(arrays) ^ set(variables))
        if differing:
            raise WorkdirError(
                f"{path}: written for other networks or optimizers; {differing[0]} differs"
            )
        for key, variable in variables.items():
            if arrays[key].shape != tuple(variable.shape):
                raise WorkdirError(
                    f"{path}: {key} has shape {arrays[key].shape}, not {tuple(variable.shape)}"
                )
        for key, variable in variables.items():
            variable.assign(arrays[key])


def _read(path: str) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise WorkdirError(f"{path}: not a readable checkpoint: {error}") from None


def _checkpoint_bytes(variables: Mapping[str, Any]) -> int:
    return sum(int(np.prod(v.shape)) * np.dtype(v.dtype).itemsize for v in variables.values())


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
