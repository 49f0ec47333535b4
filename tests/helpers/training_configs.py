"""Fields of training configurations by their short names."""

import dataclasses

from smapcomp.training.config import TrainingConfig


def full_names(changes: dict) -> dict:
    """Return `{"GROUP.FIELD": value}`; names that contain a dot stay as they are.

    `checkpoint_every` is short for `checkpoint.every`.
    """
    groups = {
        field.name: group.name
        for group in dataclasses.fields(TrainingConfig)
        for field in dataclasses.fields(group.type)
    }
    names = {name: f"{group}.{name}" for name, group in groups.items()}
    names["checkpoint_every"] = names.pop("every")
    return {names.get(name, name): value for name, value in changes.items()}
