"""Evaluation of codecs on pictures: rate-distortion points, comparisons, plots, a report."""
