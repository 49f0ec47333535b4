r"""Make the lite networks of a decoder exact (docs/exact.md), from float weights.

    python -m tools.quantise --weights_dir=weights --out=exact_weights \
        --coded=coded_x1,coded_x2,coded_x4,coded_x8

Each of --coded is a folder of records that `data.code_compact` wrote. The grids of the networks are
chosen on --pictures crops of its training split: the segmenter and SMapNet are calibrated on all
scales, each FineNet on its own. CompNet, which only the encoder runs, is copied. A network that is
exact already is copied too.

The exact networks can be trained further: `experiments.train` with the folder as
`--config.model.init` quantises in every step.

Exit status: 0 done; 1 a folder or a file is missing or does not fit, said in one line.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import app, flags

from smapcomp.design import COMPNET_SCALE
from smapcomp.errors import SmapcompError
from smapcomp.jobs.exits import errors_in_one_line, refuse_arguments
from smapcomp.keras_startup import import_keras
from smapcomp.zoo import (
    ROLES,
    VARIANTS,
    Networks,
    build_network,
    load_networks,
    lossy_finenet_role,
)

FLAGS = flags.FLAGS

CROP = 384
"""Side of the crops in pixels."""

Batches = dict[int, list[dict[str, np.ndarray]]]
"""Batches of one example by compact scale, as `data.batches.coded_pipeline` yields them, with
`upsampled`, the up-sampled compact image, in place of `compact`."""


def quantise(
    networks: Networks, coded: Sequence[str], pictures: int = 10
) -> dict[str, dict[str, np.ndarray]]:
    """Return the exact weights of all networks that a decoder runs, by role.

    Args:
        networks: Networks of the lite variant.
        coded: Folders of coded records, any number of each scale.
        pictures: Crops for each folder.

    Raises:
        SmapcompError: A folder has no records, or there is no folder of a FineNet's scale.
    """
    roles = [role for role in ROLES if role != "compnet" and networks.has(role)]
    new = [role for role in roles if not networks.is_exact(role)]
    inputs = calibration_inputs(networks, read_batches(coded, pictures))
    for role in new:
        if not inputs.get(role):
            raise SmapcompError(f"--coded has no pictures for {role}")
    result = {role: networks.arrays(role) for role in roles}
    for role in new:
        result[role] = quantise_network(role, result[role], inputs[role])
        print(f"{role}: exact, from {len(inputs[role])} pictures", flush=True)
    return result


def quantise_network(
    role: str, weights: Mapping[str, np.ndarray], inputs: Sequence[Sequence[np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return the exact weights of one network.

    Args:
        role: Its role.
        weights: Its float weights by `layer/variable`.
        inputs: Its inputs, one entry for each picture.
    """
    from smapcomp.training.calibration import calibrate
    from smapcomp.training.folding import folded

    network = build_network(VARIANTS["lite"], role, exact=True)
    return calibrate(network, folded(role, weights), inputs)


def read_batches(coded: Sequence[str], pictures: int) -> Batches:
    """Return crops of the training split of each folder.

    Raises:
        SmapcompError: A folder has no coded records.
    """
    from data.batches import coded_pipeline
    from data.sources.registry import open_source
    from smapcomp.models.layers import upsample

    batches: Batches = {}
    for folder in coded:
        compact = getattr(open_source(folder, "training"), "compact", None)
        if not compact:
            raise SmapcompError(f"--coded: {folder}: no records of data.code_compact")
        scale = compact["scale"]
        dataset = coded_pipeline.training_batches(folder, batch_size=1, size=CROP, scale=scale)
        for batch in dataset.take(pictures):
            upsampled = upsample(batch.pop("compact"), scale) if scale > 1 else batch.pop("compact")
            arrays = {key: np.asarray(value) for key, value in batch.items()}
            batches.setdefault(scale, []).append(arrays | {"upsampled": np.asarray(upsampled)})
    return batches


def calibration_inputs(networks: Networks, batches: Batches) -> dict[str, list[list[np.ndarray]]]:
    """Return the inputs of the networks of a decoder: role to one entry for each picture."""
    from smapcomp.training.stages.label_maps import decoder_label_map

    models = {role: networks.model(role) for role in ("segmenter", "smapnet")}
    inputs: dict[str, list[list[np.ndarray]]] = {"segmenter": [], "smapnet": []}
    for scale, examples in batches.items():
        role = lossy_finenet_role(scale)
        inputs[role] = []
        for example in examples:
            upsampled = example["upsampled"]
            logits = np.asarray(models["segmenter"](upsampled, training=False))
            labels = np.asarray(decoder_label_map(models, upsampled)).astype(np.int32)
            inputs["segmenter"].append([upsampled])
            inputs["smapnet"].append([logits])
            inputs[role].append([upsampled, labels, example["level"]])
            if networks.has("compnet"):
                image = _compnet_image(networks, example["image"])
                labels = np.asarray(decoder_label_map(models, image)).astype(np.int32)
                inputs.setdefault("finenet", []).append([image, labels])
    return inputs


def _compnet_image(networks: Networks, image: np.ndarray) -> np.ndarray:
    """Return the up-sampled compact image of CompNet, as the decoder has it."""
    from smapcomp.models.layers import quantize, upsample
    from smapcomp.models.pspnet import label_map_from_logits

    logits = networks.model("segmenter")(image, training=False)
    labels = label_map_from_logits(logits, networks.variant.label_stride)
    compact = networks.model("compnet")([image, np.asarray(labels, np.int32)], training=False)
    values, _ = quantize(compact, networks.variant.step)
    return np.asarray(upsample(values, COMPNET_SCALE))


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    refuse_arguments(arguments)
    import_keras()
    with errors_in_one_line("quantise"):
        networks = load_networks("lite", FLAGS.weights_dir)
        target = Path(FLAGS.out)
        if target.exists() and any(target.iterdir()):
            raise SmapcompError(f"--out: {target}: is not empty")
        weights = quantise(networks, FLAGS.coded, FLAGS.pictures)
        target.mkdir(parents=True, exist_ok=True)
        for role, arrays in weights.items():
            with open(target / f"{role}.npz", "wb") as file:
                np.savez_compressed(file, **arrays)
        if networks.has("compnet"):
            shutil.copyfile(networks.weights_file("compnet"), target / "compnet.npz")


if __name__ == "__main__":
    flags.DEFINE_string("weights_dir", None, "Folder of float weights of the lite variant.")
    flags.DEFINE_list("coded", None, "Folders of records that data.code_compact wrote.")
    flags.DEFINE_string("out", None, "Folder to write the exact weights to.")
    flags.DEFINE_integer("pictures", 10, "Crops of each folder of --coded.", lower_bound=1)
    flags.mark_flags_as_required(["weights_dir", "coded", "out"])
    app.run(main)
