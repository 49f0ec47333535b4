"""How the tests treat each command of the documentation: tiny settings, stand-ins and excuses.

Patterns are regular expressions that are searched in the single line of a command.
"""

EXCUSED = {
    r"^bazel ": "needs Bazel; the test files that it names must exist",
    r"^pip (download|install) |^curl -LO https://": "needs a network",
    r"--runner=(Flink|Spark)Runner": "needs a cluster",
    r"--runner=DataflowRunner": "needs Google Cloud",
    r"--source=tfds:": "downloads some GB; tests/data/test_sources.py replaces the download",
    r"evaluation\.figures ": "needs pictures of Kodak's size; see tests/evaluation/test_figures.py",
    r"tools\.import_(vgg|pspnet) ": "needs public weights; see tests/tools/test_import_*.py",
    r"exact_digests ENGINE": "tests/smapcomp/models/test_exact_networks.py runs each engine",
    r"STAGE_VARIANT": "synopsis of the commands below it",
    r"^(encoder +decoder|x( ──|, s0|\^)|the decoder's steps|r = x - x'|stream = )": "a diagram",
    r"^(network +training|(compnet|segmenter) +fixed|smapnet +trained) ": "output of a job",
}
"""Commands that are not run, and why."""

CHECKED = {
    r"--strategy=multiworker": "names other machines; tests/smapcomp/training runs the strategy",
    r"^--config\.": "a flag for any training command",
    r"--config\.run\.seconds=505": "docs/training.md has it with another length",
}
"""Training commands of which only the configuration is built, and why."""

SLOW = {
    r"stage1_paper": "networks of the papers' width",
    r"variant=paper": "networks of the papers' width",
    r"lossy_lite\.py:[48]|data\.code_compact .*--scale=[48]": "scale 2 with other files",
    r"smapcomp\.export .*--weights_dir=weights": "the chain of the slow tests runs it",
    r"tools\.quantise ": "calibrates seven networks; tests/tools/test_quantise.py has small ones",
    r"data_benchmark --seconds=0": "the measurements of the command before, longer",
    r"evaluation\.ablations .*--data=ADE": "measures or trains many networks",
}
"""Commands that only `make test-slow` runs, and why."""

STAND_INS = (
    (r"^make ", "make --dry-run "),
    (
        r"^serving/run\.sh$",
        "python -m tests.helpers.loopback_server --models=models/smapcomp --port=8500 "
        "--rest_port=8501",
    ),
    (r"(workers)=8\b", r"\1=2"),
    (r"https://example\.org/", "file://$PWD/"),
    (r"^python -m tools\.import_efficientnet", r"PYTHONPATH=$PWD:stand_ins \g<0>"),
    (r"--pictures=kodak\b", "--pictures=DIR"),  # Kodak's own files are known by their checksums.
    (r"--server_pid=PID", "--server_pid=$SERVER_PID"),
    (
        r"^--config\.",
        r"python -m experiments.train --config=experiments/configs/segmentation_lite.py "
        r"--workdir=runs/rules \g<0>",
    ),
)
"""What stands for programs, files and addresses that the tests do not have."""

CODED = "--codec=smapcomp@20,40,60,80 --codec=webp-m6"
"""Codecs in the place of all codecs of a protocol, which take minutes."""

CROPS = "--config.data.batch_size=2 --config.data.size=64"
TRAINING = (
    "--config.run.steps=1 --config.evaluation.pictures=1 --config.evaluation.codec_pictures=1 "
    f"{CROPS}"
)
"""One step of two crops, with one picture for TensorBoard and one for the codec."""

TINY = {
    r"python -m data\.prepare .* -- --runner=": "--out=beam",
    r"python -m data\.code_compact .*--out=DIR ": "--out=coded",
    r"python -m data\.(browse|prepare|code_compact|pack_pictures|pack_coded)\b": "",
    r"python -m evaluation\.evaluate (?!.*--codec)": f"{CODED} --jobs=1 --notimes",
    r"python -m evaluation\.evaluate .*--codec": "--jobs=1",
    r"python -m evaluation\.ablations": "--train_steps=1 --train_batch=2 --smapnet_size=64 "
    "--losses_size=64",
    r"python -m evaluation\.figures": "--jobs=1",
    r"python -m experiments\.train --backend=jax": f"--config.run.steps=1 "
    f"--config.run.seconds=0 {CROPS}",
    r"python -m experiments\.train ": TRAINING,
    r"python -m smapcomp ": "",
    r"python -m smapcomp\.bulk .*multi_threading": "--output=small_threads",
    r"python -m smapcomp\.bulk .*--workers": "--output=small_workers",
    r"python -m smapcomp\.(bulk|export) ": "",
    r"python -m tests\.helpers\.loopback_server ": "",
    r"python -m tools\.(bundle_weights|gather_weights|import_efficientnet|training_curves) ": "",
    r"python -m tools\.quantise ": "--pictures=1",
    r"python -m tools\.training_cost ": "",
    r"python -m tools\.data_benchmark ": "--seconds=5 --rounds=1 --batch_size=2 --size=64 "
    "--steps=1",
    r"python -m tools\.load_test ": "--requests=12 --sizes=64x48",
    r"python -m tools\.training_memory ": CROPS,
    r"^make ": "",
    r"^python -c ": "",
    r"^smapcomp (compress|decompress|info|compare) ": "",
    r"^curl -s \S+ \| smapcomp compress ": "",
    r"^\{ echo .* \| curl -s ": "",
}
"""Flags that are added to a command. A command that no pattern fits fails the tests."""

PAGES = {
    "test_training_page.py": ("docs/training.md",),
    "test_data_and_serving.py": ("docs/data.md", "docs/serving.md"),
    "test_other_pages.py": (
        "docs/evaluation.md",
        "docs/bulk.md",
        "docs/cli.md",
        "docs/exact.md",
        "docs/gpu.md",
        "docs/model_card.md",
        "docs/bazel.md",
        "docs/spec.md",
        "README.md",
        "CONTRIBUTING.md",
    ),
}
"""Pages that each file of tests/docs runs. A command that stands on several pages, or several times
on one, with other names of files, is run for the first one."""
