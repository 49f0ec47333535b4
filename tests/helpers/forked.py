"""Programs in processes of their own that need not import TensorFlow first.

A server process imports TensorFlow once without starting it, and is forked for each program. A
program has its own devices, threads and networks, as if it were started from the command line.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path

from tests.helpers.paths import ROOT

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["tensorflow", "keras", "data.batches.pipeline", "smapcomp.training.tf_trainer.loop"]
)


class Forked:
    """A running program, in the root folder of the project.

    Args:
        module: Module, as `python -m` takes it.
        arguments: Arguments of the program.
        environment: Environment variables that differ from this process's.
    """

    def __init__(self, module: str, *arguments: str, **environment: str):
        self._folder = tempfile.TemporaryDirectory()
        outputs = [str(Path(self._folder.name) / name) for name in ("out", "err")]
        self._outputs = [Path(path) for path in outputs]
        self._process = _CONTEXT.Process(
            target=_run, args=(module, arguments, environment, outputs), daemon=True
        )
        self._process.start()

    @property
    def status(self) -> int | None:
        """Exit status; below 0 for a signal, `None` while the program runs."""
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def end(self, seconds: float) -> tuple[str, str]:
        """Wait for the end of the program.

        Returns:
            Its standard output and its error output.

        Raises:
            TimeoutError: The program still runs after so many seconds.
        """
        self._process.join(seconds)
        out, errors = (p.read_text() if p.exists() else "" for p in self._outputs)
        if self.status is None:
            raise TimeoutError(f"runs after {seconds} s: {errors[-2000:]}")
        return out, errors


def _run(module: str, arguments: tuple, environment: dict, outputs: list[str]) -> None:
    os.chdir(ROOT)
    os.environ.update(environment)
    for descriptor, path in enumerate(outputs, start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
