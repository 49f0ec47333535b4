"""Options of an Apache Beam pipeline from a job's command line; loads no TensorFlow."""

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
"""Runner that is used if the command line names none."""


def pipeline_options(
    arguments: Sequence[str], workers: int, mode: str = "multi_threading"
) -> PipelineOptions:
    """Return the options of a pipeline.

    Args:
        arguments: Flags of Beam, such as `--runner=FlinkRunner`. Without a runner among them,
            `LOCAL_RUNNER` is used.
        workers: Number of workers of the local runner; `--direct_num_workers` in the arguments
            takes precedence.
        mode: Kind of these workers, "multi_threading" or "multi_processing";
            `--direct_running_mode` in the arguments takes precedence.
    """
    runner = PipelineOptions(list(arguments)).view_as(StandardOptions).runner or LOCAL_RUNNER
    local = [
        f"--direct_running_mode={mode}",
        f"--direct_num_workers={workers}",
        # At a lower level, worker processes log every channel that they open.
        "--default_sdk_harness_log_level=ERROR",
        # The pipelines have no triggers. The flag keeps the local runner from handing the pipeline
        # to the program Prism, which it downloads if it can and which ignores the workers.
        "--allow_unsafe_triggers",
    ]
    is_local = runner.lower() in ("direct", "directrunner")
    options = PipelineOptions([*local, *arguments] if is_local else list(arguments))
    options.view_as(StandardOptions).runner = runner
    # Workers import the modules of a job and need nothing of its `__main__`.
    options.view_as(SetupOptions).save_main_session = False
    return options


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that no runner knows, for which Beam itself only logs a warning.

    Raises:
        ValueError: An option is unknown or has a wrong value.
    """
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output):  # argparse prints a page of usage and the reason
            options = PipelineOptions(list(arguments))
            known = options.get_all_options()
            every = options.get_all_options(retain_unknown_options=True)
    except SystemExit:
        raise ValueError(output.getvalue().strip().rpartition("error: ")[2]) from None
    unknown = [f"--{name}" for name in every if name not in known]
    for previous, word in zip(["", *arguments], arguments, strict=False):
        is_value = previous.startswith("--") and "=" not in previous
        if not word.startswith("--") and not is_value:
            unknown.append(word)
    if unknown:
        raise ValueError(f"unknown: {' '.join(unknown)}")
