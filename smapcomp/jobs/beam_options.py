"""Which runner an Apache Beam pipeline gets, and with which options; loads no TensorFlow."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

from apache_beam.options.pipeline_options import (
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)

LOCAL_RUNNER = "DirectRunner"


def pipeline_options(
    arguments: Sequence[str], workers: int, mode: str = "multi_threading"
) -> PipelineOptions:
    """Options from a command line.

    Args:
      arguments: Beam's own, such as `--runner=FlinkRunner`. Without a runner: the local one.
      workers: of the local runner, unless the arguments have `--direct_num_workers`.
      mode: of the local runner, unless the arguments have `--direct_running_mode`:
        "multi_threading" or "multi_processing".
    """
    runner = PipelineOptions(list(arguments)).view_as(StandardOptions).runner or LOCAL_RUNNER
    local = [
        f"--direct_running_mode={mode}",
        f"--direct_num_workers={workers}",
        # Worker processes tell of every channel that they open.
        "--default_sdk_harness_log_level=ERROR",
        # Without triggers this only keeps the runner from passing the pipeline to the program Prism
        # where it can download that, which knows nothing of the workers.
        "--allow_unsafe_triggers",
    ]
    is_local = runner.lower() in ("direct", "directrunner")
    options = PipelineOptions([*local, *arguments] if is_local else list(arguments))
    options.view_as(StandardOptions).runner = runner
    # The jobs' modules are importable on every worker; what is in __main__ isn't needed.
    options.view_as(SetupOptions).save_main_session = False
    return options


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuses what no runner knows, which Beam itself only warns of.

    Raises:
      ValueError: an option is unknown or has a wrong value.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):  # a page of usage, and then the reason
            options = PipelineOptions(list(arguments))
            known = options.get_all_options()
            every = options.get_all_options(retain_unknown_options=True)
    except SystemExit:
        raise ValueError(said.getvalue().strip().rpartition("error: ")[2]) from None
    unknown = [f"--{name}" for name in every if name not in known]
    for before, word in zip(["", *arguments], arguments, strict=False):
        value = before.startswith("--") and "=" not in before
        if not word.startswith("--") and not value:
            unknown.append(word)
    if unknown:
        raise ValueError(f"unknown: {' '.join(unknown)}")
