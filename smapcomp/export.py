"""Export the networks for TensorFlow Serving.

    python -m smapcomp.export --variant=lite --out=models/smapcomp/1

docs/serving.md describes the model's inputs and outputs and how to serve it.
"""

import functools

from absl import app, flags, logging

from smapcomp.codec.options import CompressOptions
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.keras_startup import import_keras
from smapcomp.serving.contract import PRECISIONS
from smapcomp.zoo import VARIANTS

FLAGS = flags.FLAGS
NAME = "export"


def define_flags(values: flags.FlagValues) -> None:
    """Define the job's flags."""
    string = functools.partial(flags.DEFINE_string, flag_values=values)
    enum = functools.partial(flags.DEFINE_enum, flag_values=values)
    string("out", None, "Folder of the version, such as models/smapcomp/1.", required=True)
    enum("variant", CompressOptions.variant, list(VARIANTS), "Set of networks.")
    string("weights_dir", None, "Folder of the weights; the bundled weights by default.")
    enum(
        "precision",
        "float32",
        list(PRECISIONS),
        "Type in which the networks compute. The client accepts float32 alone.",
    )
    flags.DEFINE_boolean(
        "overwrite", False, "Replace the version if it exists.", flag_values=values
    )


def main(arguments: list[str]) -> None:
    """Run the job."""
    refuse_arguments(arguments)
    import_keras()
    # TensorFlow logs every input that it renames.
    logging.set_verbosity(logging.WARNING)
    # Imported here since it loads TensorFlow, which --help does not need.
    from smapcomp.serving.saved_model import export_model

    with errors_in_one_line(NAME):
        properties = export_model(
            FLAGS.out, FLAGS.variant, FLAGS.weights_dir, FLAGS.precision, FLAGS.overwrite
        )
    print(f"{FLAGS.out}: {properties['variant']}, {properties['precision']}")
    for role, digest in properties["digests"].items():
        print(f"  {role:<10} {digest}")


if __name__ == "__main__":
    define_flags(FLAGS)
    app.run(main)
