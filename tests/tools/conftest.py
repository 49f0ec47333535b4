"""A small model, exported once."""

import pytest


@pytest.fixture(scope="session")
def light_model(tmp_path_factory):
    """Result of `export_light_model`."""
    from tests.helpers.light_model import export_light_model  # loads TensorFlow

    return export_light_model(tmp_path_factory)
