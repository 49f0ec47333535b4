"""Compact images that are coded ahead of the training of lossy FineNets."""

ALIGNMENT = 16
"""Number that the sides of coded pictures and the positions of crops are multiples of, in pixels. A
crop then has whole samples of every compact image and whole 8x8 cells of the label grid."""
