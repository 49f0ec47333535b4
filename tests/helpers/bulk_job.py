"""The bulk job in this process."""

import contextlib
import io
from unittest import mock

from absl import flags

from smapcomp.bulk import __main__ as bulk_job

THREADS = ("--direct_running_mode=multi_threading", "--direct_num_workers=2")
"""Flags of Beam that let threads of this process do the work."""


def bulk(*arguments: object) -> tuple[int, str, str]:
    """Run the command line; return exit status, output, and error output without the bar."""
    status, out, errors = bulk_with_bar(*arguments)
    bars = ("compress:  ", "compress: 100", "decompress:  ", "decompress: 100")
    lines = [line for line in errors.splitlines() if not line.startswith(bars)]
    return status, out, "\n".join(filter(None, lines))


def bulk_with_bar(*arguments: object) -> tuple[int, str, str]:
    """Run the command line; return exit status, output, and error output."""
    values = flags.FlagValues()
    bulk_job.define_flags(values)
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(bulk_job, "FLAGS", values),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            bulk_job.main(bulk_job.parse(["bulk", *map(str, arguments)]))
        except SystemExit as left:
            status = left.code
    return status, out.getvalue(), err.getvalue()
