"""A training stage: which networks it trains, which stay fixed, its losses and its metrics.

A stage knows nothing of the loop, the data or the device. Its losses are written with `keras.ops`,
so that the same stage runs with TensorFlow and with JAX.

A batch is a dictionary of `image`, float `[batch, height, width, 3]` in [-1, 1], and `label_map`,
int `[batch, height, width]` of 0..150. Height and width are multiples of 8. It may be one replica's
part of a larger batch (`smapcomp.training.stages.replicas`), and has at least one example.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import keras


class Outcome(NamedTuple):
    """What a stage computes from a batch.

    Attributes:
        losses: Optimizer group to its loss, a float32 scalar, which is differentiated with respect
            to that group's variables only. Losses and metrics are contributions of one replica,
            whose sum is the global value.
        metrics: Name of a curve to a float32 scalar.
        outputs: Pictures and label maps, for TensorBoard and for scores of whole sets:
            `original`, `upsampled` and `prediction`, float `[batch, height, width, 3]`; `levels` of
            the compact image, `[batch, height/8, width/8, 3]`; the true label map `labels`; and
            label maps `labels_X`, for example `labels_seen`, which FineNet gets, or
            `labels_before`, which SMapNet gets. Label maps are int32 `[batch, h, w]`, all of one
            size.
    """

    losses: dict
    metrics: dict
    outputs: dict


@dataclass(frozen=True)
class Stage:
    """A training stage.

    Attributes:
        name: One of `smapcomp.training.config_groups.STAGES`.
        models: Every network that takes part, by role.
        groups: Optimizer group to the roles that it trains. Roles without a group stay fixed.
        losses: `losses(batch, training=True, replicas=SINGLE_REPLICA) -> Outcome`.
        sources: Role to the description of where its initial weights come from.
    """

    name: str
    models: Mapping[str, keras.Model]
    groups: Mapping[str, tuple[str, ...]]
    losses: Callable[..., Outcome] = field(repr=False)
    sources: Mapping[str, str] = field(default_factory=dict)

    def trained_roles(self) -> list[str]:
        """Return the roles of the trained networks, in the order of the groups."""
        return [role for roles in self.groups.values() for role in roles]

    def names(self, group: str) -> list[str]:
        """Return the names, in rules, of `variables(group)`: "ROLE/LAYER/VARIABLE"."""
        return [
            f"{role}/{variable.path}"
            for role in self.groups[group]
            for variable in self.models[role].trainable_variables
        ]

    def variables(self, group: str) -> list:
        """Return the variables that a group trains."""
        return [v for role in self.groups[group] for v in self.models[role].trainable_variables]

    def state(self) -> list:
        """Return the trained networks' variables without a gradient, such as moving statistics."""
        return [
            v for role in self.trained_roles() for v in self.models[role].non_trainable_variables
        ]
