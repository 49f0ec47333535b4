"""Maintainers' scripts: weights, graphs, operating points, measurements."""
