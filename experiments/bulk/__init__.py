"""The parts of `experiments.bulk_compress`."""
