"""Digests of the outputs of exact networks, computed by one engine.

    python -m tests.helpers.exact_digests ENGINE FOLDER

ENGINE is tensorflow, jax or onnx; FOLDER has the weights ROLE.npz. The program prints a JSON
object: each of `ROLES` to the digest of the network's output for `Example(*SIZE)`.
"""

import functools
import json
import os
import sys

import numpy as np

from smapcomp.zoo import Networks, load_networks
from tests.helpers.exact_examples import ROLES, Example, digest

SIZE = (64, 96)


def engine_digests(engine: str, networks: Networks) -> dict[str, str]:
    """Return the digests by role."""
    example = Example(*SIZE)
    run = (
        functools.partial(_run_jax, networks)
        if engine == "jax"
        else _predictor(engine, networks)._run
    )
    return {role: digest(run(role, *example.inputs(role))) for role in ROLES}


def _run_jax(networks: Networks, role: str, *inputs: np.ndarray) -> np.ndarray:
    """Run a network as one program, in which XLA may rearrange what it likes."""
    import jax

    model = networks.model(role)
    compiled = jax.jit(lambda *x: model(list(x) if len(x) > 1 else x[0], training=False))
    return np.asarray(compiled(*inputs))


def _predictor(engine: str, networks: Networks):
    if engine == "onnx":
        from smapcomp.predictors.onnx_predictor import OnnxPredictor

        return OnnxPredictor(networks)
    from smapcomp.predictors.keras_predictor import KerasPredictor

    return KerasPredictor(networks)


def main(engine: str, folder: str) -> None:
    """Print the digests."""
    if engine == "jax":
        os.environ["KERAS_BACKEND"] = "jax"
    print(json.dumps(engine_digests(engine, load_networks("lite", folder))))


if __name__ == "__main__":
    main(*sys.argv[1:])
