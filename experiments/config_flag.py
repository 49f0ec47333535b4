"""The flag --config of a job: its command line, and the configuration that it names."""

from collections.abc import Sequence

import ml_collections
from absl import flags
from ml_collections import config_flags

from smapcomp.jobs.exits import EXIT_USAGE, fail


def parse(job: str, config: flags.FlagHolder, arguments: Sequence[str]) -> Sequence[str]:
    """Parse the command line; end the process with one line if a flag or a field is wrong.

    Args:
        job: Name of the job, with which the line begins.
        config: Flag of the configuration file.
        arguments: The command line, program name first.

    Returns:
        The program name.
    """
    try:
        rest = flags.FLAGS(arguments)
        config.value.to_dict()  # Raises the errors of the configuration file.
    except AttributeError as error:
        # ml_collections' message for a field that a locked configuration does not have.
        name, _, advice = str(error).replace("\\n", "\n").strip("\"'").partition("\n")
        name = name.strip("\\'\"")
        message = f"the configuration has no field {name!r}. {advice}".strip(". ")
        fail(job, message, EXIT_USAGE)
    except (flags.Error, KeyError, TypeError, ValueError, OSError) as error:
        message = str(error)
        if "Traceback" in message:  # ml_collections' message for an error in the file.
            message = message.strip().splitlines()[-1]
        fail(job, message, EXIT_USAGE)
    if len(rest) > 1:
        fail(job, f"unknown arguments: {' '.join(rest[1:])}", EXIT_USAGE)
    return rest


def config_of(config: flags.FlagHolder) -> ml_collections.ConfigDict:
    """Return the configuration of a flag.

    `run.steps` and `run.epochs` exclude each other. If the command line sets one of them, that one
    replaces the other of the configuration file.

    Args:
        config: Flag of the configuration file, after the command line was parsed.
    """
    values = config.value
    given = config_flags.get_override_values(flags.FLAGS[config.name])
    lengths = [name for name in ("steps", "epochs") if given.get(f"run.{name}")]
    if len(lengths) == 1:
        (other,) = {"steps", "epochs"}.difference(lengths)
        values.run[other] = type(values.run[other])(0)
    return values
