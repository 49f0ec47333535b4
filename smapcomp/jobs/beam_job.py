"""Main function of jobs that run an Apache Beam pipeline."""

import logging as standard_logging
import os
import sys
from collections.abc import Callable

from absl import flags, logging

from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import EXIT_INTERRUPTED, console_output, fail

MAX_PRINTED = 20
"""Reports that are printed on the console; the manifest has all."""


def run_job(name: str, job: Callable[[], None]) -> None:
    """Run a job; an expected error ends the process with one line on standard error.

    The exit status is 1 then, and 130 after SIGINT.

    Args:
        name: Name of the command.
        job: Does the work.
    """
    if not flags.FLAGS["verbosity"].present:
        # Beam logs every channel that it opens, and repeats what becomes the one line.
        logging.set_verbosity(logging.ERROR)
        standard_logging.getLogger("apache_beam").setLevel(standard_logging.CRITICAL)
    with console_output(name):
        try:
            job()
        except BrokenPipeError:
            raise  # The reader of the output has ended.
        except (SmapcompError, OSError) as error:
            fail(name, error)
        except KeyboardInterrupt:
            print(f"\n{name}: interrupted; the same command continues", file=sys.stderr)
            sys.stderr.flush()
            os._exit(EXIT_INTERRUPTED)  # Beam's threads would run to the end
