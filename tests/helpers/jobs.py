"""Runs an absl job in the test's own process, with flags of its own."""

from unittest import mock

from absl import flags


def run_job(job, *arguments, rest=()):
    """Runs a job's `main`.

    Args:
      job: module with `define_flags(values)`, `FLAGS` and `main`.
      arguments: its command line.
      rest: what stands behind `--`.
    """
    values = flags.FlagValues()
    job.define_flags(values)
    left = values([job.__name__, *map(str, arguments)])
    with mock.patch.object(job, "FLAGS", values):
        job.main([*left, *rest])
