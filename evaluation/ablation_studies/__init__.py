"""Ablation studies: the effect of each part of the codec. The command is `evaluation.ablations`."""
