"""Instance normalisation."""

import numpy as np
import pytest

from smapcomp.models.layers import InstanceNormalization
from tests.golden.cases import INSTANCE_NORM_CASES
from tests.golden.weights import draw_image
from tests.helpers.paths import GOLDEN

GOLDEN_FILE = GOLDEN / "instance_norm.npz"


@pytest.mark.parametrize("case", list(INSTANCE_NORM_CASES))
def test_instance_normalisation_equals_that_of_tensorflow_addons(case):
    shape, scale, offset = INSTANCE_NORM_CASES[case]
    x = draw_image(case, shape) * np.float32(scale) + np.float32(offset)
    with np.load(GOLDEN_FILE) as golden:
        expected = golden[case]
    np.testing.assert_allclose(InstanceNormalization()(x), expected, rtol=1e-4, atol=1e-4)


def test_instance_normalisation_keeps_its_epsilon_through_its_config():
    layer = InstanceNormalization.from_config(InstanceNormalization(epsilon=0.5).get_config())
    x = np.array([-1.0, 1.0, -1.0, 1.0], np.float32).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(layer(x), x / np.sqrt(1.5), rtol=1e-5)
