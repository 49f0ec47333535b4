"""Histogram probe: distributions of the trained weights, for TensorBoard."""

import keras

from smapcomp.training.probe import Probe, ProbeWriter
from smapcomp.training.stages.stage import Stage


def histogram_probe(stage: Stage, every: int) -> Probe:
    """Return a probe that writes a histogram of each trained variable.

    A histogram has the name of its variable in rules, `ROLE/LAYER/VARIABLE`.

    Args:
        stage: The stage.
        every: Steps between two sets of histograms.
    """

    def run(step: int, writer: ProbeWriter | None) -> dict[str, float]:
        if writer is not None:
            for group in stage.groups:
                pairs = zip(stage.names(group), stage.variables(group), strict=True)
                arrays = {name: keras.ops.convert_to_numpy(v.value) for name, v in pairs}
                writer.histograms(step, arrays)
        return {}

    return Probe(every, run, chief_only=True)
