"""Exports the networks for TensorFlow Serving.

    python -m smapcomp.export --variant=lite --out=models/smapcomp/1

docs/serving.md tells what the model takes and gives, and how to serve it.
"""

import functools
import sys

from absl import app, flags, logging

from smapcomp.codec.options import CompressOptions
from smapcomp.errors import SmapcompError
from smapcomp.keras_startup import import_keras
from smapcomp.serving.contract import PRECISIONS
from smapcomp.zoo import VARIANTS

FLAGS = flags.FLAGS


def define_flags(values: flags.FlagValues) -> None:
    """Defines the job's flags."""
    string = functools.partial(flags.DEFINE_string, flag_values=values)
    enum = functools.partial(flags.DEFINE_enum, flag_values=values)
    string("out", None, "Folder of the version, such as models/smapcomp/1.", required=True)
    enum("variant", CompressOptions.variant, list(VARIANTS), "Variant of the networks.")
    string("weights_dir", None, "Folder of weights; default: those in the box.")
    enum(
        "precision",
        "float32",
        list(PRECISIONS),
        "That the networks compute in. Only float32 makes the streams of `smapcomp`.",
    )
    flags.DEFINE_boolean(
        "overwrite", False, "Replace the version if it exists.", flag_values=values
    )


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    import_keras()
    # TensorFlow remarks on every input that it renames.
    logging.set_verbosity(logging.WARNING)
    from smapcomp.serving import saved_model

    try:
        facts = saved_model.export(
            FLAGS.out, FLAGS.variant, FLAGS.weights_dir, FLAGS.precision, FLAGS.overwrite
        )
    except SmapcompError as error:
        print(f"export: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"{FLAGS.out}: {facts['variant']}, {facts['precision']}")
    for role, digest in facts["digests"].items():
        print(f"  {role:<10} {digest}")


if __name__ == "__main__":
    define_flags(FLAGS)
    app.run(main)
