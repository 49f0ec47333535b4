"""Compact images that are coded ahead of the training of lossy FineNets."""
