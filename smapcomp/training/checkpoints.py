"""Checkpoints of a run: one .npz a step, complete or not there at all."""

import os
import re
import zipfile
from collections.abc import Mapping

import keras
import numpy as np

from smapcomp.training.errors import WorkdirError

STEP_KEY = "step"


class Checkpoints:
    """The checkpoints in a folder.

    Args:
        folder: Created if it is not there.
        keep: How many of the newest are kept.

    Raises:
        WorkdirError: The folder can't be created or written.
    """

    def __init__(self, folder: str, keep: int = 3):
        self.folder = folder
        self.keep = keep
        try:
            os.makedirs(folder, exist_ok=True)
            for name in os.listdir(folder):
                if name.endswith(".tmp"):  # what a killed run was writing
                    os.remove(os.path.join(folder, name))
            probe = os.path.join(folder, "probe.tmp")
            with open(probe, "wb") as file:
                file.write(b"\0")
            os.remove(probe)
        except OSError as error:
            raise WorkdirError(f"{folder}: can't be written: {error.strerror}") from None

    def path(self, step: int) -> str:
        """Where the checkpoint of a step lies."""
        return os.path.join(self.folder, f"step-{step:08}.npz")

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, oldest first."""
        found = (re.fullmatch(r"step-(\d+)\.npz", name) for name in os.listdir(self.folder))
        return sorted(int(match[1]) for match in found if match)

    def save(self, step: int, variables: Mapping[str, keras.Variable]) -> None:
        """Writes the values of the variables, then removes old checkpoints.

        Raises:
            WorkdirError: The disk is full, or the like; older checkpoints are still there.
        """
        arrays = {key: variable.numpy() for key, variable in variables.items()}
        temporary = self.path(step) + ".tmp"
        try:
            with open(temporary, "wb") as file:
                np.savez(file, **arrays, **{STEP_KEY: np.int64(step)})
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path(step))
            for old in self.steps()[: -self.keep]:
                os.remove(self.path(old))
        except OSError as error:
            if os.path.exists(temporary):
                os.remove(temporary)
            raise WorkdirError(f"{self.path(step)}: can't be written: {error.strerror}") from None

    def restore(self, step: int, variables: Mapping[str, keras.Variable]) -> None:
        """Gives the variables the values of a checkpoint.

        Raises:
            WorkdirError: The file is damaged, or is of other networks or optimizers.
        """
        path = self.path(step)
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise WorkdirError(f"{path}: not a readable checkpoint: {error}") from None
        arrays.pop(STEP_KEY, None)
        differing = sorted(set(arrays) ^ set(variables))
        if differing:
            raise WorkdirError(f"{path}: of another network or optimizer, as {differing[0]} shows")
        for key, variable in variables.items():
            if arrays[key].shape != tuple(variable.shape):
                raise WorkdirError(
                    f"{path}: {key} has shape {arrays[key].shape}, not {tuple(variable.shape)}"
                )
        for key, variable in variables.items():
            variable.assign(arrays[key])
