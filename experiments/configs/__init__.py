"""Configurations of `experiments.train`, one a stage and variant: `get_config()` functions."""
