"""Comparison of measured points: protocols, BD-rates, statistics and tables."""
