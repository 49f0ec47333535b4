"""Evaluation of codecs: rate-distortion points, comparisons, plots, ablations and a report.

The folders build on each other in this order: `codecs`, `measurement`, `analysis`, `plotting`,
`report` and `ablation_studies`. The commands are `evaluation.evaluate`, `evaluation.ablations` and
`evaluation.figures`.
"""
