"""Settings of the whole test suite."""

import os

# XLA does all its own optimisations, but LLVM does not optimise the result: compiling takes half
# the time. TensorFlow and JAX read the variable when they start.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

LONG = (
    "test_data_and_serving.py",
    "test_training_page.py",
    "test_other_pages.py",
    "test_train_job.py",
    "test_train_jax.py",
    "test_signatures.py",
    "test_distribution.py",
    "test_compiled_steps.py",
    "test_exact_networks.py",
    "test_prepare.py",
    "test_wheel.py",
)
"""Files that take half a minute or more. They start first; otherwise one worker would end with one
of them while the other is idle."""


def pytest_configure(config):
    """Keep the order of this file where pytest-xdist would put files with many tests first."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Put the long files first."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
