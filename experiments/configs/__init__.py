"""Configurations of `experiments.train`: a `get_config()` for each stage and variant."""
