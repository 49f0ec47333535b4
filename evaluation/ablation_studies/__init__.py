"""Ablation studies: effect of each part of the codec (`evaluation.ablations` is the command)."""
