"""Run an absl job in the test's own process, with its own flags."""

from unittest import mock

from absl import flags


def run_job(job, *arguments, rest=()):
    """Run a job's `main`.

    Args:
        job: Module with `define_flags(values)`, `FLAGS` and `main`.
        arguments: Flags of the command line.
        rest: Arguments after `--`.
    """
    values = flags.FlagValues()
    job.define_flags(values)
    left = values([job.__name__, *map(str, arguments)])
    with mock.patch.object(job, "FLAGS", values):
        job.main([*left, *rest])
